CREATE TYPE "public"."approval_status" AS ENUM('pending', 'auto_approved', 'approved', 'denied', 'executed', 'failed');--> statement-breakpoint
CREATE TYPE "public"."approval_workflow_status" AS ENUM('pending', 'approved', 'denied', 'expired');--> statement-breakpoint
CREATE TYPE "public"."incident_status" AS ENUM('new', 'enriching', 'analyzing', 'pending_review', 'pending_approval', 'executing', 'resolved', 'false_positive', 'escalated', 'closed');--> statement-breakpoint
CREATE TYPE "public"."severity" AS ENUM('info', 'low', 'medium', 'high', 'critical');--> statement-breakpoint
CREATE TYPE "public"."user_role" AS ENUM('admin', 'analyst', 'viewer');--> statement-breakpoint
CREATE TABLE "actions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"incident_id" uuid NOT NULL,
	"action_type" text NOT NULL,
	"target" jsonb NOT NULL,
	"parameters" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"reason" text NOT NULL,
	"priority" integer DEFAULT 50 NOT NULL,
	"approval_status" "approval_status" NOT NULL,
	"approved_by" text,
	"approval_timestamp" timestamp (3) with time zone,
	"result" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	"executed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" uuid NOT NULL,
	"name" text NOT NULL,
	"key_hash" text NOT NULL,
	"key_prefix" text NOT NULL,
	"scopes" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"last_used_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "approvals" (
	"id" uuid PRIMARY KEY NOT NULL,
	"action_id" uuid NOT NULL,
	"incident_id" uuid NOT NULL,
	"approval_level" text NOT NULL,
	"status" "approval_workflow_status" NOT NULL,
	"requested_by" text NOT NULL,
	"requested_at" timestamp (3) with time zone NOT NULL,
	"decided_by" text,
	"decided_at" timestamp (3) with time zone,
	"decision_reason" text,
	"expires_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "audit_logs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"incident_id" uuid NOT NULL,
	"action" text NOT NULL,
	"actor" text NOT NULL,
	"details" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "connectors" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"connector_type" text NOT NULL,
	"config" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"status" text DEFAULT 'unknown' NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"last_health_check" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "incidents" (
	"id" uuid PRIMARY KEY NOT NULL,
	"source" jsonb NOT NULL,
	"severity" "severity" NOT NULL,
	"status" "incident_status" NOT NULL,
	"alert_data" jsonb NOT NULL,
	"enrichments" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"analysis" jsonb,
	"proposed_actions" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"ticket_id" text,
	"tags" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "notification_channels" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"channel_type" text NOT NULL,
	"config" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"events" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "playbooks" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"trigger_type" text NOT NULL,
	"trigger_condition" text,
	"stages" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"execution_count" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "policies" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"condition" text NOT NULL,
	"action" text NOT NULL,
	"approval_level" text,
	"priority" integer DEFAULT 0 NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"data" "bytea" NOT NULL,
	"expiry_date" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"key" text PRIMARY KEY NOT NULL,
	"value" jsonb NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" uuid PRIMARY KEY NOT NULL,
	"email" text NOT NULL,
	"username" text NOT NULL,
	"password_hash" text NOT NULL,
	"role" "user_role" NOT NULL,
	"display_name" text,
	"enabled" boolean DEFAULT true NOT NULL,
	"last_login_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "users_email_unique" UNIQUE("email"),
	CONSTRAINT "users_username_unique" UNIQUE("username")
);
--> statement-breakpoint
ALTER TABLE "actions" ADD CONSTRAINT "actions_incident_id_fk" FOREIGN KEY ("incident_id") REFERENCES "public"."incidents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_user_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_action_id_fk" FOREIGN KEY ("action_id") REFERENCES "public"."actions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_incident_id_fk" FOREIGN KEY ("incident_id") REFERENCES "public"."incidents"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "audit_logs" ADD CONSTRAINT "audit_logs_incident_id_fk" FOREIGN KEY ("incident_id") REFERENCES "public"."incidents"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "actions_incident_id_idx" ON "actions" USING btree ("incident_id");--> statement-breakpoint
CREATE INDEX "actions_approval_status_idx" ON "actions" USING btree ("approval_status");--> statement-breakpoint
CREATE INDEX "actions_created_at_idx" ON "actions" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "actions_ready_idx" ON "actions" USING btree ("approval_status","priority","created_at","id");--> statement-breakpoint
CREATE INDEX "api_keys_user_id_idx" ON "api_keys" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "api_keys_key_prefix_idx" ON "api_keys" USING btree ("key_prefix");--> statement-breakpoint
CREATE INDEX "api_keys_expires_at_idx" ON "api_keys" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "approvals_action_id_idx" ON "approvals" USING btree ("action_id");--> statement-breakpoint
CREATE INDEX "approvals_status_idx" ON "approvals" USING btree ("status");--> statement-breakpoint
CREATE INDEX "approvals_expires_at_idx" ON "approvals" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "approvals_incident_id_idx" ON "approvals" USING btree ("incident_id");--> statement-breakpoint
CREATE INDEX "approvals_pending_idx" ON "approvals" USING btree ("status","approval_level","requested_at","id");--> statement-breakpoint
CREATE INDEX "audit_logs_incident_id_idx" ON "audit_logs" USING btree ("incident_id","created_at","id");--> statement-breakpoint
CREATE INDEX "audit_logs_created_at_idx" ON "audit_logs" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "connectors_name_idx" ON "connectors" USING btree ("name");--> statement-breakpoint
CREATE INDEX "connectors_connector_type_idx" ON "connectors" USING btree ("connector_type");--> statement-breakpoint
CREATE INDEX "connectors_status_idx" ON "connectors" USING btree ("status");--> statement-breakpoint
CREATE INDEX "connectors_enabled_idx" ON "connectors" USING btree ("enabled");--> statement-breakpoint
CREATE INDEX "incidents_status_idx" ON "incidents" USING btree ("status");--> statement-breakpoint
CREATE INDEX "incidents_severity_idx" ON "incidents" USING btree ("severity");--> statement-breakpoint
CREATE INDEX "incidents_created_at_idx" ON "incidents" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "incidents_updated_at_idx" ON "incidents" USING btree ("updated_at","id");--> statement-breakpoint
CREATE INDEX "incidents_triage_idx" ON "incidents" USING btree ("created_at","id","status","severity");--> statement-breakpoint
CREATE INDEX "incidents_ticket_id_idx" ON "incidents" USING btree ("ticket_id");--> statement-breakpoint
CREATE INDEX "incidents_tags_idx" ON "incidents" USING gin ("tags" jsonb_path_ops);--> statement-breakpoint
CREATE INDEX "notification_channels_name_idx" ON "notification_channels" USING btree ("name");--> statement-breakpoint
CREATE INDEX "notification_channels_channel_type_idx" ON "notification_channels" USING btree ("channel_type");--> statement-breakpoint
CREATE INDEX "notification_channels_enabled_idx" ON "notification_channels" USING btree ("enabled");--> statement-breakpoint
CREATE INDEX "notification_channels_events_idx" ON "notification_channels" USING gin ("events" jsonb_path_ops);--> statement-breakpoint
CREATE INDEX "playbooks_name_idx" ON "playbooks" USING btree ("name");--> statement-breakpoint
CREATE INDEX "playbooks_trigger_type_idx" ON "playbooks" USING btree ("trigger_type");--> statement-breakpoint
CREATE INDEX "playbooks_enabled_idx" ON "playbooks" USING btree ("enabled");--> statement-breakpoint
CREATE INDEX "playbooks_created_at_idx" ON "playbooks" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "policies_name_idx" ON "policies" USING btree ("name");--> statement-breakpoint
CREATE INDEX "policies_action_idx" ON "policies" USING btree ("action");--> statement-breakpoint
CREATE INDEX "policies_priority_idx" ON "policies" USING btree ("priority");--> statement-breakpoint
CREATE INDEX "policies_enabled_idx" ON "policies" USING btree ("enabled");--> statement-breakpoint
CREATE INDEX "sessions_expiry_date_idx" ON "sessions" USING btree ("expiry_date");--> statement-breakpoint
CREATE INDEX "users_role_idx" ON "users" USING btree ("role");--> statement-breakpoint
CREATE INDEX "users_enabled_idx" ON "users" USING btree ("enabled");