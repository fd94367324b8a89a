DROP INDEX `actions_ready_idx`;--> statement-breakpoint
CREATE INDEX `actions_ready_idx` ON `actions` (`priority`,`created_at`,`id`) WHERE "actions"."approval_status" in ('approved', 'auto_approved');--> statement-breakpoint
DROP INDEX `approvals_status_idx`;--> statement-breakpoint
CREATE INDEX `approvals_status_idx` ON `approvals` (`status`,`requested_at`,`id`);