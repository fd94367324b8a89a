-- The audit trail can be added to and read, by any client; nothing else. A migration that rebuilds audit_logs must create
-- these triggers again: SQLite drops a table's triggers with it.
CREATE TRIGGER `audit_logs_no_update` BEFORE UPDATE ON `audit_logs`
BEGIN
  SELECT RAISE(ABORT, 'audit_logs is immutable');
END;
--> statement-breakpoint
CREATE TRIGGER `audit_logs_no_delete` BEFORE DELETE ON `audit_logs`
BEGIN
  SELECT RAISE(ABORT, 'audit_logs is immutable');
END;
--> statement-breakpoint
-- INSERT OR REPLACE removes the row that is in its way without firing delete triggers
CREATE TRIGGER `audit_logs_no_replace` BEFORE INSERT ON `audit_logs`
WHEN EXISTS (SELECT 1 FROM `audit_logs` WHERE `id` = NEW.`id`)
BEGIN
  SELECT RAISE(ABORT, 'audit_logs.id is taken');
END;
