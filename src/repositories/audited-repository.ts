import { type SQL, sql, type Table } from 'drizzle-orm';
import type { AuditedUpdate } from '../driver/dialect.ts';
import type { Result } from '../driver/port.ts';
import type { Values } from '../driver/statement.ts';
import { auditSelect, auditValues, type Entry } from './audit.ts';
import { Repository } from './repository.ts';
import type { Rows, TableName } from './tables.ts';

/** A patch's columns and how a row's audit entry tells of it. */
export interface Change {
  readonly set: Readonly<Record<string, SQL>>;
  readonly values: Values;
  readonly entry: Entry;
}

/** The same, of the rows that fit. */
export type Changes = Pick<AuditedUpdate, 'where' | 'first'> & Change;

/** A repository whose every write leaves its audit row in the same transaction: one statement on PostgreSQL. */
export abstract class AuditedRepository<
  Name extends TableName,
  Filter extends object,
  Sort extends string,
  Row = Rows[Name],
> extends Repository<Name, Filter, Sort, Row> {
  /**
   * Inserts a row, `values` being those of all its columns, and its audit row. Answers the row as it is stored, made from
   * the encoded values: they are all known, so nothing is read back.
   *
   * @internal
   */
  protected async insertAudited(values: Values, entry: Entry): Promise<Row> {
    const { dialect, driver, statements } = this.cx;
    const queries = statements.several(
      `${this.tableName}.create ${entry.shape}`,
      () => dialect.auditedInsert(this.insertSql(), auditSelect(this.cx, entry, this.table)),
      { reads: false },
    );
    const all = { ...values, ...entry.values, ...auditValues(this.cx) };
    await driver.batch(queries.map((query) => query.query(all)));
    return this.fresh(values);
  }

  /** Changes rows and writes an audit row for each. `name` and `entry.shape` tell the statement's shape. @internal */
  protected async changeAudited(name: string, change: Changes, ids?: readonly string[]): Promise<Row[]> {
    return this.decodeAll(await this.changeRows(name, change, ids));
  }

  /** The same, not yet decoded. @internal */
  protected async changeRows(name: string, change: Changes, ids?: readonly string[]): Promise<Result> {
    const { where, first, set, values, entry } = change;
    const { dialect, driver, statements } = this.cx;
    const queries = statements.several(
      `${this.tableName}.${name} ${entry.shape}`,
      () =>
        dialect.auditedUpdate({
          table: this.table,
          where,
          ...(first ? { first } : {}),
          set,
          audit: (row) => entry.columns(this.cx, row),
          readsOld: entry.readsOld,
        }),
      { reads: false },
    );
    const all = { ...values, ...entry.values, ...auditValues(this.cx, ids) };
    return driver.batch(queries.map((query) => query.query(all)));
  }

  /** Changes one row, or tells why it could not be. @internal */
  protected async changeOne(
    name: string,
    id: string,
    change: Change & { readonly where?: (row: Table) => SQL; readonly unless?: string },
  ): Promise<Row> {
    const { where } = change;
    const [row] = await this.changeAudited(name, {
      ...change,
      where: (table) => (where ? sql`${this.byId(table)} and ${where(table)}` : this.byId(table)),
      values: { id, ...change.values },
    });
    if (!row) throw await this.refusal(id, change.unless ?? 'it changed meanwhile');
    return row;
  }
}
