import { inspect } from 'node:util';
import { type Column, getTableColumns, getTableName, type SQL, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import type { RowDecoder } from '../driver/decode.ts';
import type { Result } from '../driver/port.ts';
import { receiveRows } from '../driver/receive.ts';
import { bound, type Statement, type Values } from '../driver/statement.ts';
import { DatabaseError, NotFoundError } from '../errors.ts';
import { parse } from '../model/parse.ts';
import type { Conditions } from './conditions.ts';
import type { Context } from './context.ts';
import {
  type Cursor,
  type CursorOptions,
  clampBatch,
  clampLimit,
  clampPage,
  decodeCursor,
  encodeCursor,
  type NumberedOptions,
  type NumberedPage,
  type Page,
  pagingSchema,
} from './page.ts';
import type { Rows, TableName, Tables } from './tables.ts';

/** How a list is ordered: by these columns, by their keys, then the id, so that the order is total. */
export interface SortOrder {
  readonly columns: readonly string[];
  readonly descending: boolean;
  /** Nothing changes these columns once a row is there: a stream in this order meets every row once. */
  readonly fixed: boolean;
}

export const ascending = (...columns: string[]): SortOrder => ({ columns, descending: false, fixed: isFixed(columns) });
export const descending = (...columns: string[]): SortOrder => ({ columns, descending: true, fixed: isFixed(columns) });

const isFixed = (columns: readonly string[]) => columns.every((key) => key === 'createdAt' || key === 'requestedAt');

/** The options of `stream`. */
export interface StreamOptions<Sort extends string> {
  /** An order in which no row moves: by creation, or by id. */
  readonly sort?: Sort | undefined;
  /** Rows read at once: 500 by default, 1,000 at most. */
  readonly batchSize?: number | undefined;
}

/** A count that may be no more than what the database expects. */
export interface EstimatedCount {
  readonly count: number;
  /** False where it was counted. */
  readonly estimated: boolean;
}

const countOptions = z.strictObject({ estimate: z.boolean().optional() });

/** What a reader is told of its table: a repository tells its own. */
export interface Source<Filter extends object, Sort extends string> {
  /** The sort orders of `list`, the default one first. */
  readonly sorts: Readonly<Record<Sort, SortOrder>>;
  /** Checks a filter, and tells the conditions it stands for. */
  conditions(filter: Filter): Conditions;
  /** What every row must fit to be read at all. */
  visible(): Conditions;
  /** Checks an id, and spells it as it is stored. */
  parseKey(id: string): string;
  /** Whether access hangs on its rows, so that they are never read from a replica. */
  readonly neverLags?: boolean;
}

const pagings = new Map<string, ReturnType<typeof pagingSchema>>();

/** Reads of one table: by id, listed, counted, streamed. Of all its columns, or of some. */
export abstract class Reader<Name extends TableName, Filter extends object, Sort extends string, Row = Rows[Name]> {
  /** @internal */
  protected readonly table: Tables[Name];
  /** @internal */
  protected readonly tableName: string;
  readonly #decode: RowDecoder<Row>;
  readonly #keys: readonly string[];
  readonly #shape: string;

  /** @internal */
  protected abstract readonly source: Source<Filter, Sort>;

  /** @internal */
  constructor(
    /** @internal */
    protected readonly cx: Context,
    /** @internal */
    protected readonly name: Name,
    selected?: readonly string[],
  ) {
    this.table = cx.dialect.tables[name];
    this.tableName = getTableName(this.table);
    this.#keys = selected ?? cx.decoders.columnKeys(name);
    this.#shape = selected ? `(${selected.join()})` : '';
    // the caller's schemas, from which `Row` has its types, are what the decoder reads by
    this.#decode = cx.decoders.of(name, selected) as RowDecoder<never>;
  }

  /**
   * Reads one row; null when there is none.
   *
   * @throws ValidationError when the id is none of this table.
   */
  async find(id: string): Promise<Row | null> {
    const result = this.#byKey(id);
    return this.#first(result instanceof Promise ? await result : result);
  }

  /**
   * Reads one row.
   *
   * @throws NotFoundError when there is none; ValidationError when the id is none of this table.
   */
  async get(id: string): Promise<Row> {
    const result = this.#byKey(id);
    const row = this.#first(result instanceof Promise ? await result : result);
    if (!row) throw new NotFoundError(this.tableName, this.source.parseKey(id));
    return row;
  }

  /** Lists rows that fit the filter, by cursor: exact also while rows come and go, and as fast on the last page as on the first. */
  async list(filter: Filter = {} as Filter, options: CursorOptions<Sort> = {}): Promise<Page<Row>> {
    this.#paging().byCursor(options);
    const sort = options.sort ?? this.#defaultSort();
    const { items, next } = await this.withConditions(filter, (conditions) => {
      const after = options.after == null ? undefined : this.#cursor(sort, options.after);
      return this.#page(conditions, sort, clampLimit(options.limit), after);
    });
    return { items, next: next && encodeCursor(sort, next) };
  }

  /** Lists rows that fit the filter, by page number and with totals, as dashboards show them. It costs a count. */
  async listPage(filter: Filter = {} as Filter, options: NumberedOptions<Sort> = {}): Promise<NumberedPage<Row>> {
    this.#paging().numbered(options);
    const sort = options.sort ?? this.#defaultSort();
    return this.withConditions(filter, (conditions) => this.#numbered(conditions, sort, options));
  }

  /**
   * Counts the rows that fit the filter, exactly. With `estimate`, PostgreSQL answers what its planner expects, at once however large
   * the table is; SQLite counts.
   */
  async count(filter?: Filter): Promise<number>;
  async count(filter: Filter, options: { readonly estimate: true }): Promise<EstimatedCount>;
  async count(
    filter: Filter = {} as Filter,
    options?: { readonly estimate?: boolean },
  ): Promise<number | EstimatedCount> {
    const { estimate } = parse(countOptions, options ?? {});
    const { estimate: estimator } = this.cx.dialect;
    if (!estimate) return this.withConditions(filter, (conditions) => this.#count(conditions));
    if (!estimator)
      return { count: await this.withConditions(filter, (conditions) => this.#count(conditions)), estimated: false };
    const conditions = await this.source.conditions(filter).settled();
    const statement = this.read(`estimate ${conditions.shape}`, () =>
      estimator.of(sql`select 1 from ${this.table}${conditions.where()}`),
    );
    const { rows } = await this.cx.driver.exec(statement.query(conditions.values));
    return { count: estimator.read(rows[0]?.[0]), estimated: true };
  }

  /**
   * Reads all rows that fit the filter, a batch at a time: for as many rows as there are. A row that was there at the start is
   * met once, whatever others write meanwhile; leaving the loop early holds nothing back.
   *
   * @throws ValidationError for a sort order in which rows move when they are changed.
   */
  async *stream(filter: Filter = {} as Filter, options: StreamOptions<Sort> = {}): AsyncGenerator<Row, void, void> {
    const fixed = (Object.entries(this.source.sorts) as [Sort, SortOrder][]).filter(([, order]) => order.fixed);
    const names = fixed.map(([sort]) => sort) as [Sort, ...Sort[]]; // every table has one
    this.#paging(names).streamed(options);
    const sort = options.sort ?? names[0];
    const limit = clampBatch(options.batchSize);
    const driver = this.cx.driver.steady?.() ?? this.cx.driver; // replicas lag differently
    let after: Cursor | undefined;
    do {
      const from = after;
      // decided for each batch: the search index may come and go meanwhile
      const page = await this.withConditions(filter, (conditions) => this.#page(conditions, sort, limit, from, driver));
      yield* page.items;
      after = page.next ?? undefined;
    } while (after);
  }

  /** Printed, it shows nothing of its inside. @internal */
  [inspect.custom](): string {
    return `${this.constructor.name} {}`;
  }

  /**
   * Does something with what a filter stands for; once more, where it was decided by the search index, and that was removed
   * before the query ran.
   *
   * @internal
   */
  protected async withConditions<T>(filter: Filter, work: (conditions: Conditions) => Promise<T>): Promise<T> {
    const conditions = this.source.conditions(filter);
    const wasOpen = conditions.isOpen;
    try {
      return await work(await conditions.settled());
    } catch (error) {
      if (!wasOpen || !(error instanceof DatabaseError) || this.cx.inTransaction) throw error;
      return work(await this.source.conditions(filter).settled());
    }
  }

  /** All rows that fit, in order, as they are at one moment: for tables that stay small. @internal */
  protected async listAll(conditions: Conditions, sort: Sort, { fresh = false } = {}): Promise<readonly Row[]> {
    const name = `all ${conditions.shape} ${sort}`;
    const select = () => sql`select ${this.columns()} from ${this.table}${conditions.where()}${this.#orderBy(sort)}`;
    const statement = fresh ? this.readFresh(name, select) : this.read(name, select);
    return (await receiveRows(this.cx.driver, statement.query(conditions.values), this.#decode)).items;
  }

  /** The first row that fits; null when there is none. `values` may throw. @internal */
  protected async findWhere(
    name: string,
    where: () => SQL,
    values: () => Values,
    { fresh = false } = {},
  ): Promise<Row | null> {
    const result = this.#select(name, where, values(), fresh);
    return this.#first(result instanceof Promise ? await result : result);
  }

  /** @internal */
  protected read(name: string, write: () => SQL, { byKey = false } = {}): Statement {
    if (this.source.neverLags) return this.readFresh(name, write, { byKey });
    return this.cx.statements.one(`${this.tableName}${this.#shape}.${name}`, write, { reads: true, byKey });
  }

  /** A read that must not lag: of what was written just now. `byKey`: of one row, or of a few, by an index. @internal */
  protected readFresh(name: string, write: () => SQL, { byKey = false } = {}): Statement {
    const kind = { reads: true, fresh: true, byKey };
    return this.cx.statements.one(`${this.tableName}${this.#shape}.${name} fresh`, write, kind);
  }

  /** @internal */
  protected decodeAll({ rows }: Result): Row[] {
    return rows.map(this.#decode);
  }

  /** The columns that are read; those that only the order needs stand behind those that are answered. @internal */
  protected columns(sort?: Sort): SQL {
    const columns = getTableColumns<Table>(this.table);
    return sql.join(
      this.#fetched(sort).map((key) => sql`${columns[key]}`),
      sql`, `,
    );
  }

  /** The row whose id is bound as `id`. @internal */
  protected byId(row: Table): SQL {
    const { id } = getTableColumns(row);
    return sql`${id} = ${this.cx.dialect.value(id as Column, 'id')}`; // every table of a repository with this method has an id
  }

  /** Under AsyncLocalStorage, which transactions use, a promise costs as much as a part of the read (Node 20, 22): few are made. */
  #select(name: string, where: () => SQL, values: Values, fresh: boolean): Result | Promise<Result> {
    const select = () => sql`select ${this.columns()} from ${this.table} where ${where()}`;
    const byKey = true;
    const statement = fresh ? this.readFresh(name, select, { byKey }) : this.read(name, select, { byKey });
    return this.cx.driver.exec(statement.query(values));
  }

  #byKey(id: string): Result | Promise<Result> {
    const visible = this.source.visible();
    const values = { ...visible.values, id: this.source.parseKey(id) };
    return this.#select('find', () => sql`${this.byId(this.table)}${visible.and()}`, values, false);
  }

  #first({ rows: [row] }: Result): Row | null {
    return row ? this.#decode(row) : null;
  }

  #fetched(sort?: Sort): readonly string[] {
    const needed = ['id', ...(sort ? this.source.sorts[sort].columns : [])];
    return [...this.#keys, ...needed.filter((key) => !this.#keys.includes(key))];
  }

  #defaultSort(): Sort {
    return Object.keys(this.source.sorts)[0] as Sort;
  }

  #paging(sorts = Object.keys(this.source.sorts) as [string, ...string[]]): ReturnType<typeof pagingSchema> {
    const shape = sorts.join();
    let checks = pagings.get(shape);
    if (!checks) pagings.set(shape, (checks = pagingSchema(sorts)));
    return checks;
  }

  #cursor(sort: Sort, text: string): Cursor {
    return decodeCursor(sort, this.#sortColumns(sort), this.cx.dialect, (id) => this.source.parseKey(id), text);
  }

  #sortColumns(sort: Sort): readonly Column[] {
    const columns = getTableColumns<Table>(this.table);
    return this.source.sorts[sort].columns.map((key) => columns[key] as Column); // the keys are those of columns
  }

  #orderBy(sort: Sort): SQL {
    const { id } = getTableColumns<Table>(this.table) as { id: Column };
    const direction = this.source.sorts[sort].descending ? sql`desc` : sql`asc`;
    const columns = [...this.#sortColumns(sort), id].map((column) => this.cx.dialect.ordered(column));
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
    const stored = [...columns, id].map((column) => dialect.ordered(column));
    const given = [...columns.map((column, i) => dialect.stored(column, `after${i}`)), dialect.stored(id, 'after_id')];
    return sql`${list(stored)} ${this.source.sorts[sort].descending ? sql`<` : sql`>`} ${list(given)}`;
  }

  async #page(
    conditions: Conditions,
    sort: Sort,
    limit: number,
    after: Cursor | undefined,
    driver = this.cx.driver,
  ): Promise<{ readonly items: readonly Row[]; readonly next: Cursor | null }> {
    const statement = this.read(`list ${conditions.shape} ${sort}${after ? ' after' : ''}`, () => {
      const beyond = after ? this.#beyond(sort) : undefined;
      const { columns, descending, fixed } = this.source.sorts[sort];
      const where =
        fixed && columns.length === 1
          ? conditions.whereInOrder({ descending, beyond, limit: 'limit' })
          : conditions.where(...(beyond ? [beyond] : []));
      return sql`select ${this.columns(sort)} from ${this.table}${where}${this.#orderBy(sort)} limit ${this.cx.dialect.limit('limit')}`;
    });
    const values: Record<string, unknown> = { ...conditions.values, limit: limit + 1 };
    if (after) {
      values.after_id = after.id;
      for (const [i, value] of after.values.entries()) values[`after${i}`] = value;
    }
    const { items, last, hasMore } = await receiveRows(driver, statement.query(values), this.#decode, limit);
    return { items, next: last && hasMore ? this.#position(sort, last) : null };
  }

  /** Where a row stands in the order, as the database stores it. */
  #position(sort: Sort, row: readonly unknown[]): Cursor {
    const keys = this.#fetched(sort);
    return {
      values: this.source.sorts[sort].columns.map((key) => row[keys.indexOf(key)] as string | number),
      id: String(row[keys.indexOf('id')]),
    };
  }

  async #numbered(conditions: Conditions, sort: Sort, options: NumberedOptions<Sort>): Promise<NumberedPage<Row>> {
    const perPage = clampLimit(options.perPage);
    const page = clampPage(options.page ?? 1);
    const statement = this.read(
      `page ${conditions.shape} ${sort}`,
      () =>
        sql`select ${this.columns(sort)} from ${this.table}${conditions.where()}${this.#orderBy(sort)} limit ${this.cx.dialect.limit('limit')} offset ${bound('offset')}`,
    );
    const total = await this.#count(conditions);
    const query = statement.query({ ...conditions.values, limit: perPage, offset: (page - 1) * perPage });
    const { items } = await receiveRows(this.cx.driver, query, this.#decode);
    return { items, page, perPage, total, pages: Math.max(Math.ceil(total / perPage), 1) };
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
