DROP INDEX "actions_ready_idx";--> statement-breakpoint
DROP INDEX "approvals_status_idx";--> statement-breakpoint
CREATE INDEX "actions_ready_idx" ON "actions" USING btree ("priority","created_at","id") WHERE "actions"."approval_status" in ('approved', 'auto_approved');--> statement-breakpoint
CREATE INDEX "approvals_status_idx" ON "approvals" USING btree ("status","requested_at","id");