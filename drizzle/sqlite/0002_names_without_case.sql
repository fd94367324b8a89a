CREATE INDEX `policies_evaluation_idx` ON `policies` (`enabled`,`priority`,`created_at`,`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `users_email_nocase_unique` ON `users` ("email" collate nocase);--> statement-breakpoint
CREATE UNIQUE INDEX `users_username_nocase_unique` ON `users` ("username" collate nocase);