import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import { INSTANT } from '../driver/port.ts';
import type { Values } from '../driver/statement.ts';
import type { AuditAction } from '../model/audit-log.ts';
import type { JsonObject } from '../model/json.ts';
import { type Context, json, newId } from './context.ts';

/** How the audit row of a change is made. */
export interface Entry {
  /** Equal shapes have equal SQL. */
  readonly shape: string;
  readonly values: Values;
  /** Several audit rows are made of it. */
  readonly several: boolean;
  /** The audit row's columns but for its time, in the order of audit_logs, for a row as it was before the change. */
  readonly columns: (cx: Context, row: Table, instant: SQL) => readonly SQL[];
}

interface EntryOptions {
  /** The audit rows are several: their ids are dealt out of a list. */
  readonly several?: boolean;
  /** Details that the database makes of the row as it was before the change. */
  readonly made?: {
    readonly shape: string;
    readonly details: (row: Table, instant: SQL) => SQL;
    readonly values?: Values;
  };
  /** An action that depends on the row. */
  readonly actionOf?: (row: Table) => SQL;
}

/** An audit entry whose action, and details unless they are `made`, are known beforehand. */
export function entry(cx: Context, action: AuditAction, details: JsonObject | null, options: EntryOptions = {}): Entry {
  const { made, several = false, actionOf } = options;
  const audit = cx.dialect.tables.auditLogs;
  return {
    shape: `${several ? 'several ' : ''}${actionOf ? 'either ' : ''}${made?.shape ?? ''}`,
    values: {
      ...made?.values,
      audit_action: action,
      audit_details: details && json(cx, details, 'details'),
    },
    several,
    columns: ({ dialect }, row, instant) => [
      several ? dialect.nth(audit.id, 'audit_ids') : dialect.value(audit.id, 'audit_id'),
      sql`${incidentOf(row)}`,
      actionOf ? actionOf(row) : dialect.value(audit.action, 'audit_action'),
      dialect.value(audit.actor, 'audit_actor'),
      made ? made.details(row, instant) : dialect.value(audit.details, 'audit_details'),
    ],
  };
}

/** The incident that a row of incidents, actions or approvals belongs to. */
function incidentOf(row: Table): Column {
  const columns = getTableColumns(row);
  return (columns.incidentId ?? columns.id) as Column; // incidents themselves have only an id
}

/** The values that every audit row has. */
export const auditValues = (cx: Context, ids?: readonly string[]): Values => ({
  ...(ids ? { audit_ids: JSON.stringify(ids) } : { audit_id: newId() }),
  audit_actor: cx.actor,
  now: now(cx),
});

/** What is bound for the instant of a change. */
export const now = ({ settings }: Context): Date | typeof INSTANT =>
  settings.clock === 'given' ? settings.now() : INSTANT;
