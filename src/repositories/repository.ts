import { inspect } from 'node:util';
import { type Column, getTableColumns, getTableName, type SQL, sql, type Table } from 'drizzle-orm';
import { RawJson } from '../codecs/json.ts';
import type { RowDecoder } from '../driver/decode.ts';
import type { Result } from '../driver/port.ts';
import { bound, type Statement, type Values } from '../driver/statement.ts';
import { ConflictError, NotFoundError, type StoreError } from '../errors.ts';
import { parseId } from '../model/parse.ts';
import type { Conditions } from './conditions.ts';
import type { Context } from './context.ts';
import {
  type Cursor,
  type CursorOptions,
  clampLimit,
  clampPage,
  decodeCursor,
  encodeCursor,
  MAX_LIMIT,
  type NumberedOptions,
  type NumberedPage,
  type Page,
  pagingSchema,
} from './page.ts';
import type { Rows, TableName, Tables } from './tables.ts';

/** How a list is ordered: by these columns, by their keys, then the id, so that the order is total. */
export interface SortOrder {
  readonly columns: readonly [string, ...string[]];
  readonly descending: boolean;
}

export const ascending = (...columns: [string, ...string[]]): SortOrder => ({ columns, descending: false });
export const descending = (...columns: [string, ...string[]]): SortOrder => ({ columns, descending: true });

/** The options of `stream`. */
export interface StreamOptions<Sort extends string> {
  readonly sort?: Sort | undefined;
  /** Rows read at once: 200 by default and at most. */
  readonly batchSize?: number | undefined;
}

const pagings = new Map<string, ReturnType<typeof pagingSchema>>();

/**
 * What every repository can: read by id, list, count, stream. A subclass says what its filters mean and adds the verbs of its
 * domain; those under audit extend `AuditedRepository`, the others `PlainRepository`.
 */
export abstract class Repository<Name extends TableName, Filter extends object, Sort extends string, Row = Rows[Name]> {
  /** @internal */
  protected readonly table: Tables[Name];
  /** @internal */
  protected readonly tableName: string;
  readonly #decode: RowDecoder<Row>;

  /** The sort orders of `list`, the default one first. @internal */
  protected abstract readonly sorts: Readonly<Record<Sort, SortOrder>>;
  /** Checks a filter, and tells the conditions it stands for. @internal */
  protected abstract conditions(filter: Filter): Conditions;

  /** @internal */
  constructor(
    /** @internal */
    protected readonly cx: Context,
    /** @internal */
    protected readonly name: Name,
  ) {
    this.table = cx.dialect.tables[name];
    this.tableName = getTableName(this.table);
    // the caller's schemas, from which `Row` has its types, are what the decoder reads by
    this.#decode = cx.decoders.of(name) as RowDecoder<never>;
  }

  /**
   * Reads one row; null when there is none.
   *
   * @throws ValidationError when the id is none of this table.
   */
  find(id: string): Promise<Row | null> {
    return this.findWhere(
      'find',
      () => this.byId(this.table),
      () => ({ id: this.parseKey(id) }),
    );
  }

  /**
   * Reads one row.
   *
   * @throws NotFoundError when there is none; ValidationError when the id is none of this table.
   */
  async get(id: string): Promise<Row> {
    const row = await this.find(id);
    if (!row) throw new NotFoundError(this.tableName, this.parseKey(id));
    return row;
  }

  /** Lists rows that fit the filter, by cursor: exact also while rows come and go, and as fast on the last page as on the first. */
  async list(filter: Filter = {} as Filter, options: CursorOptions<Sort> = {}): Promise<Page<Row>> {
    this.#paging().byCursor(options);
    const conditions = this.conditions(filter);
    const sort = options.sort ?? this.#defaultSort();
    const after = options.after == null ? undefined : this.#cursor(sort, options.after);
    return this.#page(conditions, sort, clampLimit(options.limit), after);
  }

  /** Lists rows that fit the filter, by page number and with totals, as dashboards show them. It costs a count. */
  async listPage(filter: Filter = {} as Filter, options: NumberedOptions<Sort> = {}): Promise<NumberedPage<Row>> {
    this.#paging().numbered(options);
    return this.#numbered(this.conditions(filter), options.sort ?? this.#defaultSort(), options);
  }

  /** Counts the rows that fit the filter, exactly. */
  async count(filter: Filter = {} as Filter): Promise<number> {
    return this.#count(this.conditions(filter));
  }

  /** Reads all rows that fit the filter, a page at a time: for as many rows as there are. */
  async *stream(filter: Filter = {} as Filter, options: StreamOptions<Sort> = {}): AsyncGenerator<Row, void, void> {
    this.#paging().streamed(options);
    const conditions = this.conditions(filter);
    const sort = options.sort ?? this.#defaultSort();
    const limit = clampLimit(options.batchSize ?? MAX_LIMIT);
    let after: Cursor | undefined;
    do {
      const page: Page<Row> = await this.#page(conditions, sort, limit, after);
      yield* page.items;
      after = page.next === null ? undefined : this.#cursor(sort, page.next);
    } while (after);
  }

  /** Printed, a repository shows nothing of its inside. @internal */
  [inspect.custom](): string {
    return `${this.constructor.name} {}`;
  }

  /** All rows that fit, in order, as they are at one moment: for tables that stay small. @internal */
  protected async listAll(conditions: Conditions, sort: Sort): Promise<readonly Row[]> {
    const statement = this.read(
      `all ${conditions.shape} ${sort}`,
      () => sql`select ${this.columns()} from ${this.table}${conditions.where()}${this.#orderBy(sort)}`,
    );
    return this.decodeAll(await this.cx.driver.exec(statement.query(conditions.values)));
  }

  /** The first row that fits; null when there is none. `values` may throw. @internal */
  protected async findWhere(name: string, where: () => SQL, values: () => Values): Promise<Row | null> {
    const statement = this.read(name, () => sql`select ${this.columns()} from ${this.table} where ${where()}`);
    const { rows } = await this.cx.driver.exec(statement.query(values()));
    return rows[0] ? this.#decode(rows[0]) : null;
  }

  /** Checks an id, and spells it as it is stored. @internal */
  protected parseKey(id: string): string {
    return parseId(id);
  }

  /** @internal */
  protected read(name: string, write: () => SQL): Statement {
    return this.cx.statements.one(`${this.tableName}.${name}`, write, { reads: true });
  }

  /** @internal */
  protected decodeAll({ rows }: Result): Row[] {
    return rows.map(this.#decode);
  }

  /** The columns that reads answer. @internal */
  protected columns(): SQL {
    const columns = getTableColumns<Table>(this.table);
    return sql.join(
      this.cx.decoders.columnKeys(this.name).map((key) => sql`${columns[key]}`),
      sql`, `,
    );
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
    const row: Record<string, unknown> = {};
    for (const key of this.cx.decoders.columnKeys(this.name)) {
      const value = values[key];
      row[key] = value instanceof RawJson ? JSON.parse(value.text) : value instanceof Date ? new Date(value) : value;
    }
    this.cx.decoders.refine(this.name)?.(row);
    return row as Row; // the values are those of all columns, which the schema's types describe
  }

  /** The row whose id is bound as `id`. @internal */
  protected byId(row: Table): SQL {
    const { id } = getTableColumns(row);
    return sql`${id} = ${this.cx.dialect.value(id as Column, 'id')}`; // every table of a repository with this method has an id
  }

  /** Why a row was not changed: it does not exist, or it is not in the state that the change asked for. @internal */
  protected async refusal(id: string, reason: string): Promise<StoreError> {
    const exists = this.read('exists', () => sql`select 1 from ${this.table} where ${this.byId(this.table)}`);
    const { rows } = await this.cx.driver.exec(exists.query({ id }));
    return rows.length ? new ConflictError(this.tableName, id, reason) : new NotFoundError(this.tableName, id);
  }

  #defaultSort(): Sort {
    return Object.keys(this.sorts)[0] as Sort;
  }

  #paging(): ReturnType<typeof pagingSchema> {
    const names = Object.keys(this.sorts) as [string, ...string[]];
    const shape = names.join();
    let checks = pagings.get(shape);
    if (!checks) pagings.set(shape, (checks = pagingSchema(names)));
    return checks;
  }

  #cursor(sort: Sort, text: string): Cursor {
    return decodeCursor(sort, this.#sortColumns(sort), this.cx.dialect, (id) => this.parseKey(id), text);
  }

  #sortColumns(sort: Sort): readonly Column[] {
    const columns = getTableColumns<Table>(this.table);
    return this.sorts[sort].columns.map((key) => columns[key] as Column); // the keys are those of columns
  }

  #orderBy(sort: Sort): SQL {
    const { id } = getTableColumns<Table>(this.table) as { id: Column };
    const direction = this.sorts[sort].descending ? sql`desc` : sql`asc`;
    const columns = [...this.#sortColumns(sort).map((column) => this.cx.dialect.ordered(column)), sql`${id}`];
    return sql` order by ${sql.join(
      columns.map((column) => sql`${column} ${direction}`),
      sql`, `,
    )}`;
  }

  /** The rows that come after the cursor, whose values are bound as after0, after1, … and after_id. */
  #beyond(sort: Sort): SQL {
    const { dialect } = this.cx;
    const { id } = getTableColumns<Table>(this.table) as { id: Column };
    const columns = this.#sortColumns(sort);
    const list = (parts: readonly SQL[]) => sql`(${sql.join([...parts], sql`, `)})`;
    const stored = [...columns.map((column) => dialect.ordered(column)), sql`${id}`];
    const given = [...columns.map((column, i) => dialect.stored(column, `after${i}`)), dialect.stored(id, 'after_id')];
    return sql`${list(stored)} ${this.sorts[sort].descending ? sql`<` : sql`>`} ${list(given)}`;
  }

  async #page(conditions: Conditions, sort: Sort, limit: number, after: Cursor | undefined): Promise<Page<Row>> {
    const statement = this.read(`list ${conditions.shape} ${sort}${after ? ' after' : ''}`, () => {
      const where = conditions.where(...(after ? [this.#beyond(sort)] : []));
      return sql`select ${this.columns()} from ${this.table}${where}${this.#orderBy(sort)} limit ${this.cx.dialect.limit('limit')}`;
    });
    const values: Record<string, unknown> = { ...conditions.values, limit: limit + 1 };
    if (after) {
      values.after_id = after.id;
      for (const [i, value] of after.values.entries()) values[`after${i}`] = value;
    }
    const { rows } = await this.cx.driver.exec(statement.query(values));
    const items = (rows.length > limit ? rows.slice(0, limit) : rows).map(this.#decode);
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    return { items, next: last ? encodeCursor(sort, this.#position(sort, last)) : null };
  }

  /** Where a row stands in the order, as the database stores it. */
  #position(sort: Sort, row: readonly unknown[]): Cursor {
    const keys = this.cx.decoders.columnKeys(this.name);
    return {
      values: this.sorts[sort].columns.map((key) => row[keys.indexOf(key)] as string | number),
      id: String(row[keys.indexOf('id')]),
    };
  }

  async #numbered(conditions: Conditions, sort: Sort, options: NumberedOptions<Sort>): Promise<NumberedPage<Row>> {
    const perPage = clampLimit(options.perPage);
    const page = clampPage(options.page ?? 1);
    const statement = this.read(
      `page ${conditions.shape} ${sort}`,
      () =>
        sql`select ${this.columns()} from ${this.table}${conditions.where()}${this.#orderBy(sort)} limit ${this.cx.dialect.limit('limit')} offset ${bound('offset')}`,
    );
    const total = await this.#count(conditions);
    const { rows } = await this.cx.driver.exec(
      statement.query({ ...conditions.values, limit: perPage, offset: (page - 1) * perPage }),
    );
    return { items: rows.map(this.#decode), page, perPage, total, pages: Math.max(Math.ceil(total / perPage), 1) };
  }

  async #count(conditions: Conditions): Promise<number> {
    const statement = this.read(
      `count ${conditions.shape}`,
      () => sql`select count(*) from ${this.table}${conditions.where()}`,
    );
    const { rows } = await this.cx.driver.exec(statement.query(conditions.values));
    return Number(rows[0]?.[0]);
  }
}
