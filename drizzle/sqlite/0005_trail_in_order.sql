-- INSERT OR REPLACE removes the row that is in its way without firing delete triggers: the one with this id, or with this rowid. Of a row
-- whose rowid is not given, NEW.rowid is -1 before the insert.
DROP TRIGGER `audit_logs_no_replace`;
--> statement-breakpoint
CREATE TRIGGER `audit_logs_no_replace` BEFORE INSERT ON `audit_logs`
BEGIN
  SELECT RAISE(ABORT, 'audit_logs.id is taken') FROM `audit_logs` WHERE `id` = NEW.`id`;
  SELECT RAISE(ABORT, 'audit_logs is immutable') FROM `audit_logs` WHERE `rowid` = NEW.`rowid`;
END;
--> statement-breakpoint
-- Nor may a rowid be given that stands in the way of later ones: -1 would meet all of them, and behind the greatest SQLite takes any.
CREATE TRIGGER `audit_logs_in_order` AFTER INSERT ON `audit_logs`
WHEN NEW.`rowid` <> coalesce((SELECT `rowid` FROM `audit_logs` WHERE `rowid` <> NEW.`rowid` ORDER BY `rowid` DESC LIMIT 1), 0) + 1
BEGIN
  SELECT RAISE(ABORT, 'audit_logs is immutable');
END;
