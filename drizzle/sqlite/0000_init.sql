CREATE TABLE `actions` (
	`id` text PRIMARY KEY NOT NULL,
	`incident_id` text NOT NULL,
	`action_type` text NOT NULL,
	`target` text NOT NULL,
	`parameters` text DEFAULT '{}' NOT NULL,
	`reason` text NOT NULL,
	`priority` integer DEFAULT 50 NOT NULL,
	`approval_status` text NOT NULL,
	`approved_by` text,
	`approval_timestamp` text,
	`result` text,
	`created_at` text NOT NULL,
	`executed_at` text,
	FOREIGN KEY (`incident_id`) REFERENCES `incidents`(`id`) ON UPDATE no action ON DELETE cascade,
	CONSTRAINT "actions_approval_status_check" CHECK("actions"."approval_status" in ('pending', 'auto_approved', 'approved', 'denied', 'executed', 'failed'))
);
--> statement-breakpoint
CREATE INDEX `actions_incident_id_idx` ON `actions` (`incident_id`);--> statement-breakpoint
CREATE INDEX `actions_approval_status_idx` ON `actions` (`approval_status`);--> statement-breakpoint
CREATE INDEX `actions_created_at_idx` ON `actions` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `actions_ready_idx` ON `actions` (`approval_status`,`priority`,`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`user_id` text NOT NULL,
	`name` text NOT NULL,
	`key_hash` text NOT NULL,
	`key_prefix` text NOT NULL,
	`scopes` text DEFAULT '[]' NOT NULL,
	`expires_at` text,
	`last_used_at` text,
	`created_at` text NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `api_keys_user_id_idx` ON `api_keys` (`user_id`);--> statement-breakpoint
CREATE INDEX `api_keys_key_prefix_idx` ON `api_keys` (`key_prefix`);--> statement-breakpoint
CREATE INDEX `api_keys_expires_at_idx` ON `api_keys` (`expires_at`);--> statement-breakpoint
CREATE TABLE `approvals` (
	`id` text PRIMARY KEY NOT NULL,
	`action_id` text NOT NULL,
	`incident_id` text NOT NULL,
	`approval_level` text NOT NULL,
	`status` text NOT NULL,
	`requested_by` text NOT NULL,
	`requested_at` text NOT NULL,
	`decided_by` text,
	`decided_at` text,
	`decision_reason` text,
	`expires_at` text,
	FOREIGN KEY (`action_id`) REFERENCES `actions`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`incident_id`) REFERENCES `incidents`(`id`) ON UPDATE no action ON DELETE cascade,
	CONSTRAINT "approvals_status_check" CHECK("approvals"."status" in ('pending', 'approved', 'denied', 'expired'))
);
--> statement-breakpoint
CREATE INDEX `approvals_action_id_idx` ON `approvals` (`action_id`);--> statement-breakpoint
CREATE INDEX `approvals_status_idx` ON `approvals` (`status`);--> statement-breakpoint
CREATE INDEX `approvals_expires_at_idx` ON `approvals` (`expires_at`);--> statement-breakpoint
CREATE INDEX `approvals_incident_id_idx` ON `approvals` (`incident_id`);--> statement-breakpoint
CREATE INDEX `approvals_pending_idx` ON `approvals` (`status`,`approval_level`,`requested_at`,`id`);--> statement-breakpoint
CREATE TABLE `audit_logs` (
	`id` text PRIMARY KEY NOT NULL,
	`incident_id` text NOT NULL,
	`action` text NOT NULL,
	`actor` text NOT NULL,
	`details` text,
	`created_at` text NOT NULL,
	FOREIGN KEY (`incident_id`) REFERENCES `incidents`(`id`) ON UPDATE no action ON DELETE restrict
);
--> statement-breakpoint
CREATE INDEX `audit_logs_incident_id_idx` ON `audit_logs` (`incident_id`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `audit_logs_created_at_idx` ON `audit_logs` (`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `connectors` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`connector_type` text NOT NULL,
	`config` text DEFAULT '{}' NOT NULL,
	`status` text DEFAULT 'unknown' NOT NULL,
	`enabled` integer DEFAULT true NOT NULL,
	`last_health_check` text,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `connectors_name_idx` ON `connectors` (`name`);--> statement-breakpoint
CREATE INDEX `connectors_connector_type_idx` ON `connectors` (`connector_type`);--> statement-breakpoint
CREATE INDEX `connectors_status_idx` ON `connectors` (`status`);--> statement-breakpoint
CREATE INDEX `connectors_enabled_idx` ON `connectors` (`enabled`);--> statement-breakpoint
CREATE TABLE `incidents` (
	`id` text PRIMARY KEY NOT NULL,
	`source` text NOT NULL,
	`severity` text NOT NULL,
	`status` text NOT NULL,
	`alert_data` text NOT NULL,
	`enrichments` text DEFAULT '[]' NOT NULL,
	`analysis` text,
	`proposed_actions` text DEFAULT '[]' NOT NULL,
	`ticket_id` text,
	`tags` text DEFAULT '[]' NOT NULL,
	`metadata` text DEFAULT '{}' NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	CONSTRAINT "incidents_severity_check" CHECK("incidents"."severity" in ('info', 'low', 'medium', 'high', 'critical')),
	CONSTRAINT "incidents_status_check" CHECK("incidents"."status" in ('new', 'enriching', 'analyzing', 'pending_review', 'pending_approval', 'executing', 'resolved', 'false_positive', 'escalated', 'closed'))
);
--> statement-breakpoint
CREATE INDEX `incidents_status_idx` ON `incidents` (`status`);--> statement-breakpoint
CREATE INDEX `incidents_severity_idx` ON `incidents` (`severity`);--> statement-breakpoint
CREATE INDEX `incidents_created_at_idx` ON `incidents` (`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `incidents_updated_at_idx` ON `incidents` (`updated_at`,`id`);--> statement-breakpoint
CREATE INDEX `incidents_triage_idx` ON `incidents` (`status`,`severity`,`created_at`,`id`);--> statement-breakpoint
CREATE INDEX `incidents_ticket_id_idx` ON `incidents` (`ticket_id`);--> statement-breakpoint
CREATE TABLE `notification_channels` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`channel_type` text NOT NULL,
	`config` text DEFAULT '{}' NOT NULL,
	`events` text DEFAULT '[]' NOT NULL,
	`enabled` integer DEFAULT true NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `notification_channels_name_idx` ON `notification_channels` (`name`);--> statement-breakpoint
CREATE INDEX `notification_channels_channel_type_idx` ON `notification_channels` (`channel_type`);--> statement-breakpoint
CREATE INDEX `notification_channels_enabled_idx` ON `notification_channels` (`enabled`);--> statement-breakpoint
CREATE TABLE `playbooks` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`description` text,
	`trigger_type` text NOT NULL,
	`trigger_condition` text,
	`stages` text DEFAULT '[]' NOT NULL,
	`enabled` integer DEFAULT true NOT NULL,
	`execution_count` integer DEFAULT 0 NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `playbooks_name_idx` ON `playbooks` (`name`);--> statement-breakpoint
CREATE INDEX `playbooks_trigger_type_idx` ON `playbooks` (`trigger_type`);--> statement-breakpoint
CREATE INDEX `playbooks_enabled_idx` ON `playbooks` (`enabled`);--> statement-breakpoint
CREATE INDEX `playbooks_created_at_idx` ON `playbooks` (`created_at`,`id`);--> statement-breakpoint
CREATE TABLE `policies` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`description` text,
	`condition` text NOT NULL,
	`action` text NOT NULL,
	`approval_level` text,
	`priority` integer DEFAULT 0 NOT NULL,
	`enabled` integer DEFAULT true NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `policies_name_idx` ON `policies` (`name`);--> statement-breakpoint
CREATE INDEX `policies_action_idx` ON `policies` (`action`);--> statement-breakpoint
CREATE INDEX `policies_priority_idx` ON `policies` (`priority`);--> statement-breakpoint
CREATE INDEX `policies_enabled_idx` ON `policies` (`enabled`);--> statement-breakpoint
CREATE TABLE `sessions` (
	`id` text PRIMARY KEY NOT NULL,
	`data` blob NOT NULL,
	`expiry_date` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `sessions_expiry_date_idx` ON `sessions` (`expiry_date`);--> statement-breakpoint
CREATE TABLE `settings` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL,
	`updated_at` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `users` (
	`id` text PRIMARY KEY NOT NULL,
	`email` text NOT NULL,
	`username` text NOT NULL,
	`password_hash` text NOT NULL,
	`role` text NOT NULL,
	`display_name` text,
	`enabled` integer DEFAULT true NOT NULL,
	`last_login_at` text,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	CONSTRAINT "users_role_check" CHECK("users"."role" in ('admin', 'analyst', 'viewer'))
);
--> statement-breakpoint
CREATE INDEX `users_role_idx` ON `users` (`role`);--> statement-breakpoint
CREATE INDEX `users_enabled_idx` ON `users` (`enabled`);--> statement-breakpoint
CREATE UNIQUE INDEX `users_email_unique` ON `users` (`email`);--> statement-breakpoint
CREATE UNIQUE INDEX `users_username_unique` ON `users` (`username`);