import { getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import { RawJson } from '../codecs/json.ts';
import type { AuditedUpdate } from '../driver/dialect.ts';
import type { Values } from '../driver/statement.ts';
import { ConflictError, NotFoundError, type StoreError } from '../errors.ts';
import { auditSelect, auditValues, type Entry } from './audit.ts';
import { Repository } from './repository.ts';
import type { Rows, TableName } from './tables.ts';

/** A patch's columns and how a row's audit entry tells of it. */
export interface Change {
  readonly set: Readonly<Record<string, SQL>>;
  readonly values: Values;
  readonly entry: Entry;
}

/** A repository whose every write leaves its audit row in the same transaction: one statement on PostgreSQL. */
export abstract class AuditedRepository<
  Name extends TableName,
  Filter extends object,
  Sort extends string,
> extends Repository<Name, Filter, Sort> {
  /**
   * Inserts a row, `values` being those of all its columns, and its audit row. Answers the row as it is stored, made from
   * the encoded values: they are all known, so nothing is read back.
   *
   * @internal
   */
  protected async insertAudited(values: Values, entry: Entry): Promise<Rows[Name]> {
    const { dialect, driver, statements } = this.cx;
    const columns = getTableColumns<Table>(this.table);
    const queries = statements.several(
      `${this.tableName}.create ${entry.shape}`,
      () => {
        const list = sql.join(
          Object.values(columns).map(({ name }) => sql.identifier(name)),
          sql`, `,
        );
        const row = sql.join(
          Object.entries(columns).map(([key, column]) => dialect.value(column, key)),
          sql`, `,
        );
        return dialect.auditedInsert(
          sql`insert into ${this.table} (${list}) values (${row})`,
          auditSelect(this.cx, entry, this.table),
        );
      },
      { reads: false },
    );
    const all = { ...values, ...entry.values, ...auditValues(this.cx) };
    await driver.batch(queries.map((query) => query.query(all)));
    return fresh<Rows[Name]>(values);
  }

  /** Changes rows and writes an audit row for each. `name` and `entry.shape` tell the statement's shape. @internal */
  protected async changeAudited(
    name: string,
    change: Pick<AuditedUpdate, 'where' | 'first'> & Change,
    ids?: readonly string[],
  ): Promise<Rows[Name][]> {
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
    return this.decodeAll(await driver.batch(queries.map((query) => query.query(all))));
  }

  /** Changes one row, or tells why it could not be. @internal */
  protected async changeOne(
    name: string,
    id: string,
    change: Change & { readonly where?: (row: Table) => SQL; readonly unless?: string },
  ): Promise<Rows[Name]> {
    const { where } = change;
    const [row] = await this.changeAudited(name, {
      ...change,
      where: (table) => (where ? sql`${this.byId(table)} and ${where(table)}` : this.byId(table)),
      values: { id, ...change.values },
    });
    if (!row) throw await this.refusal(id, change.unless ?? 'it changed meanwhile');
    return row;
  }

  /** Why a row was not changed: it does not exist, or it is not in the state that the change asked for. @internal */
  protected async refusal(id: string, reason: string): Promise<StoreError> {
    const exists = this.read('exists', () => sql`select 1 from ${this.table} where ${this.byId(this.table)}`);
    const { rows } = await this.cx.driver.exec(exists.query({ id }));
    return rows.length ? new ConflictError(this.tableName, id, reason) : new NotFoundError(this.tableName, id);
  }
}

/** What was stored, as a reader would get it: nothing in it is shared with the caller's input. */
function fresh<Row>(values: Values): Row {
  const row: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values))
    row[key] = value instanceof RawJson ? JSON.parse(value.text) : value instanceof Date ? new Date(value) : value;
  return row as Row; // the values are those of all columns, which the schema's types describe
}
