DROP INDEX "actions_approval_status_idx";--> statement-breakpoint
DROP INDEX "incidents_triage_idx";--> statement-breakpoint
CREATE INDEX "actions_approval_status_idx" ON "actions" USING btree ("approval_status","created_at","id");--> statement-breakpoint
CREATE INDEX "incidents_triage_idx" ON "incidents" USING btree ("status","severity","created_at","id");