import type { Column, SQL, Table } from 'drizzle-orm';
import type { Tables } from '../repositories/tables.ts';
import type { Query } from './port.ts';
import type { SearchIndexTarget } from './search-index.ts';

/**
 * Everything that the two databases do not say alike. Repositories are written once: where a query truly differs, it is a
 * member here. Values are bound by name (see `statement.ts`); `name` is always the name of such a value.
 */
export interface Dialect {
  readonly name: 'sqlite' | 'postgres';
  readonly tables: Tables;

  /** The SQL text of a statement, with its parameters in order. */
  write(sql: SQL): { readonly sql: string; readonly params: readonly unknown[] };

  /** A value for this column, in any place of a statement. */
  value(column: Column, name: string): SQL;
  /** A value in the form in which this column stores it: what a cursor carries. */
  stored(column: Column, name: string): SQL;
  /** A bound JSON text, as JSON. */
  json(name: string): SQL;
  /** The bound time, or a millisecond after the column's own where that is not earlier: it always grows. Of tables without a trail. */
  later(column: Column, name: string): SQL;
  /** A timestamp column reads as this Date. */
  sameInstant(column: Column, name: string): SQL;
  /** Whether this may be the stored form of a value of this column: what a cursor that comes back is asked. */
  isStored(column: Column, value: unknown): boolean;
  /** A timestamp column is at this time, or before it. */
  notAfter(column: Column, time: SQL): SQL;
  /** The time as it is now, to the millisecond; `now` is bound (see `Clock`). */
  now(clock: Clock): SQL;
  /** A time as ISO 8601 text, as times stand inside JSON; so many milliseconds later, where their number is bound. */
  iso(time: SQL, later?: string): SQL;
  /** A column as lists are ordered by it: texts by their bytes. */
  ordered(column: Column): SQL;
  /** Locks one row until the transaction ends, and returns these columns of it. Whoever waited for it sees what was done meanwhile, or fails. */
  lockRow(table: Table, columns: SQL, where: SQL): SQL;
  /** Keeps every other writer of a table out until the transaction ends: the statements that do so. */
  lockTable(table: Table): readonly SQL[];
  /** The rows of a SELECT for each set of values, one out of each of these lists: none of which is empty. */
  each(lists: readonly (readonly SQL[])[], select: (values: readonly SQL[]) => SQL): SQL;
  /** Whether its planner knows about how many rows fit a condition, without being told to look (ANALYZE). */
  readonly knowsRows: boolean;
  /** Behind a table: reads it by this index. SQLite, which knows nothing of the data before ANALYZE, has to be told. */
  by(index: string): SQL;
  /** The number of rows to take. */
  limit(name: string): SQL;
  /** Ends a SELECT whose rows are then changed; `skipLocked` passes over those that another transaction holds. */
  forUpdate(options?: { readonly skipLocked: boolean }): SQL;

  /** A text column is this text, without regard to the case of ASCII letters. */
  textEquals(column: Column, name: string): SQL;
  /** A JSON array of strings holds this string. */
  includes(column: Column, name: string): SQL;
  /** A text column holds this text, without regard to the case of ASCII letters. `%`, `_` and `\` are literal. */
  textContains(column: Column, name: string): SQL;
  /** The strings, keys or numbers in a JSON column hold this text, by the same rule. */
  jsonContains(column: Column, name: string): SQL;

  /** A JSON array and one more element, which is bound as JSON. */
  append(column: Column, name: string): SQL;
  /** A JSON array of strings and those of another that it lacks, in their order. */
  union(column: Column, name: string): SQL;
  /** A JSON array of strings without those of another. */
  except(column: Column, name: string): SQL;
  /** A JSON object with the members of another, which win. Bound: the members as [key, JSON] pairs, `size` of them. */
  merge(column: Column, name: string, size: number): SQL;
  /** Whether a JSON column holds an array, or an object: other writers may have left something else. */
  isJson(column: Column, type: 'array' | 'object'): SQL;
  /** Whether a column holds anything else: JSON by its text. */
  differs(column: Column, value: SQL): SQL;
  /** Of the strings in a bound JSON array those that a column's lacks, or holds, in their order. */
  lacking(column: Column, name: string): SQL;
  holding(column: Column, name: string): SQL;
  /** Of the names in a bound JSON array those whose members, bound as for `merge`, are not in a JSON object yet. */
  changedMembers(column: Column, names: string, members: string): SQL;
  /** A JSON array of those names whose condition is true. */
  namesWhere(names: readonly (readonly [name: string, condition: SQL])[]): SQL;
  /** A JSON object with a member more, where the condition is true. */
  memberWhere(object: SQL, name: string, value: SQL, condition: SQL): SQL;
  /** The text at a path in a JSON column; null where there is none. Compared byte by byte. */
  jsonText(column: Column, path: readonly string[]): SQL;

  /** The day of a timestamp column in UTC, as `YYYY-MM-DD`. */
  day(column: Column): SQL;
  /** Whole milliseconds from one time to another; both as this database stores them. */
  millisecondsBetween(from: SQL | Column, to: SQL | Column): SQL;
  /** What answers about how many rows a SELECT has, and how that answer is read; undefined where counting is as cheap. */
  readonly estimate: { readonly of: (select: SQL) => SQL; readonly read: (value: unknown) => number } | undefined;

  /** A JSON object made in the database. */
  object(members: Readonly<Record<string, SQL>>): SQL;
  /** A text or enum expression as a JSON string; SQL NULL as JSON null. */
  jsonString(expression: SQL | Column): SQL;
  /** The nth element of a JSON array of ids, n being the number of the row in the result. */
  nth(column: Column, name: string): SQL;

  /** An insert and the audit row it leaves, all or nothing: the statements in order; the last one returns the instant of both, unless it is the one that was bound. */
  auditedInsert(insert: AuditedInsert): readonly SQL[];
  /** A change and the audit rows it leaves, all or nothing: the statements in order; the last one returns the changed rows. */
  auditedUpdate(change: AuditedUpdate): readonly SQL[];
  /** When an entry of an incident is written that no change leaves: after all that its trail holds. */
  instantAfter(clock: Clock, incident: SQL): SQL;
  /** A SELECT of the instant at which it runs: as an entry has it, and as other columns do. */
  readonly instant: SQL;

  /** How many rows one call of `bulkInsert` takes, and how many characters of text in them. */
  readonly bulk: { readonly chunkRows: number; readonly chunkChars: number };
  /** An insert of many rows, each the values of all columns in order, as the codecs encoded them: the statements in order. */
  bulkInsert(rows: BulkRows): readonly Query[];

  readonly searchIndex: SearchIndexTarget;

  /** The JSON text that a JSON column's stored value stands for, with every digit. */
  storedJson(value: unknown): string;
}

/**
 * Whose clock gives the instant of a change. `database`: PostgreSQL's, or that of the process that holds SQLite's lock; read once the rows
 * are locked, so that the order of a trail is the order of the changes. `given`: that of the store's `now`, bound under this name.
 */
export type Clock = 'database' | 'given';

/** A new row, with its audit row. */
export interface AuditedInsert {
  readonly table: Table;
  readonly clock: Clock;
  /** The values of the columns, by their keys. */
  readonly values: Readonly<Record<string, SQL>>;
  /** The keys of columns that hold the instant. */
  readonly dated: readonly string[];
  /** The incident to whose trail the entry belongs. */
  readonly incident: SQL;
  /** The audit row's values in the order of audit_logs' columns, but for the last one, its time. */
  readonly audit: readonly SQL[];
}

/** A change of rows, with one audit row for each of them. */
export interface AuditedUpdate {
  readonly table: Table;
  /** The rows to be changed; called with the table under the name in which the statement knows it. */
  readonly where: (row: Table) => SQL;
  /**
   * Where that is one row: what must hold of it, and what else must, or there is nothing to change. Then the row is returned however it is, with
   * two columns more: whether it was changed, and whether what must hold of it did.
   */
  readonly one?: { readonly guard: (row: Table) => SQL; readonly differs: (row: Table) => SQL };
  /** Where only some are: their order and number, and whether those that others hold are passed over. */
  readonly first?: {
    readonly orderBy: (row: Table) => SQL;
    readonly limit: string;
    readonly skipLocked: boolean;
    readonly index?: string;
  };
  readonly clock: Clock;
  /** The new values of a row, by the column's key: also of those that hold the instant of the change. */
  readonly set: (row: Table, instant: SQL) => Readonly<Record<string, SQL>>;
  /** The audit row's values in the order of audit_logs' columns, but for the last one, its time; for a row as it was before the change. */
  readonly audit: (row: Table, instant: SQL) => readonly SQL[];
  /** The audit rows are several, whose ids are bound as a list: `audit_ids` instead of `audit_id`. */
  readonly several: boolean;
}

/** A table's rows, encoded. */
export interface BulkRows {
  readonly table: Table;
  readonly rows: readonly (readonly unknown[])[];
  /** The audit row of each, in the same order; empty where there are none. */
  readonly trail: readonly (readonly unknown[])[];
  /** Passes over rows whose id is taken, with their audit rows; then the last statement answers the ids of the others. */
  readonly ignoreConflicts: boolean;
}

/** A list in the order of creation, or a page of it. */
export interface ListByCreation {
  readonly descending: boolean;
  /** Where it begins: behind the cursor that is bound as `after0` and `after_id`. */
  readonly beyond: SQL | undefined;
  /** The name of the bound number of rows. */
  readonly limit: string;
  /** What else a row must fit. */
  readonly others: readonly SQL[];
}
