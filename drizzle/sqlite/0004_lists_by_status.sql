DROP INDEX `actions_approval_status_idx`;--> statement-breakpoint
CREATE INDEX `actions_approval_status_idx` ON `actions` (`approval_status`,`created_at`,`id`);