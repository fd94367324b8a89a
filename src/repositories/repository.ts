import { getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import { RawJson } from '../codecs/json.ts';
import type { Values } from '../driver/statement.ts';
import { ConflictError, NotFoundError, type StoreError, ValidationError } from '../errors.ts';
import { parseId } from '../model/parse.ts';
import { Conditions } from './conditions.ts';
import type { Context } from './context.ts';
import { Reader, type SortOrder, type Source } from './reader.ts';
import type { Rows, TableName } from './tables.ts';

/**
 * One table: its reads, and what its writes have in common. A subclass says what its filters mean and adds the verbs of its
 * domain; those under audit extend `AuditedRepository`, the others `PlainRepository`.
 */
export abstract class Repository<
  Name extends TableName,
  Filter extends object,
  Sort extends string,
  Row = Rows[Name],
> extends Reader<Name, Filter, Sort, Row> {
  /** @internal */
  protected abstract readonly sorts: Readonly<Record<Sort, SortOrder>>;
  /** @internal */
  protected abstract conditions(filter: Filter): Conditions;

  /** @internal */
  protected get source(): Source<Filter, Sort> {
    return this as unknown as Source<Filter, Sort>; // sorts, conditions, visible and parseKey, which are not for users
  }

  /**
   * The same reads, of some columns only: dashboards read rows, not payloads.
   *
   * @example
   * const { items } = await store.incidents.select(['id', 'severity', 'createdAt']).list({ status: 'new' })
   *
   * @throws ValidationError for a column that is none, or that no read answers.
   */
  select<Key extends keyof Row & string>(columns: readonly Key[]): Selection<Name, Filter, Sort, Pick<Row, Key>> {
    const known = this.cx.decoders.columnKeys(this.name);
    if (!Array.isArray(columns) || !columns.length || !columns.every((key) => known.includes(key)))
      throw new ValidationError([{ path: 'columns', message: `is not a list of some of ${known.join(', ')}` }]);
    return new Selection(this.cx, this.name, [...new Set(columns)], this.source);
  }

  /** @internal */
  protected visible(): Conditions {
    return new Conditions(this.cx.dialect);
  }

  /** @internal */
  protected parseKey(id: string): string {
    return parseId(id);
  }

  /** An insert of a row, whose values are bound under the columns' keys. @internal */
  protected insertSql(): SQL {
    const columns = Object.entries(getTableColumns<Table>(this.table));
    return sql`insert into ${this.table} (${sql.join(
      columns.map(([, { name }]) => sql.identifier(name)),
      sql`, `,
    )}) values (${sql.join(
      columns.map(([key, column]) => this.cx.dialect.value(column, key)),
      sql`, `,
    )})`;
  }

  /** The row that was inserted, as a reader would get it: nothing in it is shared with the caller's input. @internal */
  protected fresh(values: Values): Row {
    const { decoders } = this.cx;
    const refinements = decoders.refinements(this.name);
    const row: Record<string, unknown> = {};
    for (const key of decoders.columnKeys(this.name)) {
      const value = values[key];
      const plain = value instanceof RawJson ? JSON.parse(value.text) : value instanceof Date ? new Date(value) : value;
      const refine = refinements[key];
      row[key] = refine && value !== null ? refine(plain, String(values.id)) : plain;
    }
    return row as Row; // the values are those of all columns, which the schema's types describe
  }

  /** The row as it is now, where a change had nothing to do. @throws NotFoundError @internal */
  protected async current(id: string): Promise<Row> {
    const row = await this.findWhere(
      'current',
      () => this.byId(this.table),
      () => ({ id }),
      { fresh: true },
    );
    if (!row) throw new NotFoundError(this.tableName, id);
    return row;
  }

  /** Why a row was not changed: it does not exist, or it is not in the state that the change asked for. @internal */
  protected async refusal(id: string, reason: string): Promise<StoreError> {
    const select = () => sql`select 1 from ${this.table} where ${this.byId(this.table)}`;
    const exists = this.readFresh('exists', select, { byKey: true });
    const { rows } = await this.cx.driver.exec(exists.query({ id }));
    return rows.length ? new ConflictError(this.tableName, id, reason) : new NotFoundError(this.tableName, id);
  }
}

/** The reads of some columns of a table. */
export class Selection<Name extends TableName, Filter extends object, Sort extends string, Row> extends Reader<
  Name,
  Filter,
  Sort,
  Row
> {
  /** @internal */
  constructor(
    cx: Context,
    name: Name,
    columns: readonly string[],
    /** @internal */
    protected readonly source: Source<Filter, Sort>,
  ) {
    super(cx, name, columns);
  }
}
