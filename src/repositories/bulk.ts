import { getTableColumns, type Table } from 'drizzle-orm';
import type { Values } from '../driver/statement.ts';
import type { AuditAction } from '../model/audit-log.ts';
import type { JsonObject } from '../model/json.ts';
import { type Context, json, newId } from './context.ts';

/**
 * Inserts rows, each with an audit row, in one transaction: all of them, or none. Answers the rows' ids, in their order. The
 * rows are checked and have a value for every column.
 */
export async function insertMany(
  cx: Context,
  table: Table,
  rows: readonly Values[],
  action: AuditAction,
  details: (row: Values) => JsonObject,
): Promise<readonly string[]> {
  const now = cx.settings.now();
  const trail = rows.map((row) => ({
    id: newId(),
    incidentId: row.incidentId ?? row.id,
    action,
    actor: cx.actor,
    details: json(cx, details(row), 'details'),
    createdAt: now,
  }));
  await insertAll(cx, [
    { table, rows },
    { table: cx.dialect.tables.auditLogs, rows: trail },
  ]);
  return rows.map(({ id }) => String(id));
}

/** Inserts rows of several tables in one transaction, in batches. */
export async function insertAll(
  { dialect, driver }: Context,
  targets: readonly { readonly table: Table; readonly rows: readonly Values[] }[],
): Promise<void> {
  const encoded = targets
    .filter(({ rows }) => rows.length)
    .map(({ table, rows }) => {
      const columns = Object.entries(getTableColumns(table));
      return {
        table,
        rows: rows.map((row) =>
          columns.map(([key, column]) => (row[key] === null ? null : column.mapToDriverValue(row[key]))),
        ),
      };
    });
  if (!encoded.length) return;
  await driver.transaction(async (inner) => {
    for (const statements of dialect.bulkInsert(encoded)) {
      await inner.batch(statements.map((statement) => ({ ...statement, reads: false })));
      await new Promise(setImmediate); // other work gets its turn between two batches
    }
  });
}
