import { type Column, getTableColumns, getTableName, type SQL, sql, type Table } from 'drizzle-orm';
import { type RowDecoder, rowDecoder } from '../driver/decode.ts';
import type { Result } from '../driver/port.ts';
import { bound, type Statement } from '../driver/statement.ts';
import { NotFoundError } from '../errors.ts';
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

/** How a list is ordered: a timestamp column, then the id, so that the order is total. */
export interface SortOrder {
  readonly column: string;
  readonly descending: boolean;
}

/** The options of `stream`. */
export interface StreamOptions<Sort extends string> {
  readonly sort?: Sort | undefined;
  /** Rows read at once: 200 by default and at most. */
  readonly batchSize?: number | undefined;
}

const decoders = new WeakMap<Table, RowDecoder<never>>();
const pagings = new Map<string, ReturnType<typeof pagingSchema>>();

/**
 * What every repository can: read by id, list, count, stream. A subclass says what its filters mean and adds the verbs of its
 * domain; those under audit extend `AuditedRepository`.
 */
export abstract class Repository<Name extends TableName, Filter extends object, Sort extends string> {
  /** @internal */
  protected readonly table: Tables[Name];
  /** @internal */
  protected readonly tableName: string;
  readonly #decode: RowDecoder<Rows[Name]>;

  /** The sort orders of `list`, the default one first. @internal */
  protected abstract readonly sorts: Readonly<Record<Sort, SortOrder>>;
  /** Checks a filter, and tells the conditions it stands for. @internal */
  protected abstract conditions(filter: Filter): Conditions;

  /** @internal */
  constructor(
    /** @internal */
    protected readonly cx: Context,
    name: Name,
  ) {
    this.table = cx.dialect.tables[name];
    this.tableName = getTableName(this.table);
    const known = decoders.get(this.table) as RowDecoder<Rows[Name]> | undefined;
    this.#decode = known ?? rowDecoder<Rows[Name]>(this.table);
    if (!known) decoders.set(this.table, this.#decode as RowDecoder<never>);
  }

  /**
   * Reads one row; null when there is none.
   *
   * @throws ValidationError when the id is no UUID.
   */
  async find(id: string): Promise<Rows[Name] | null> {
    const statement = this.read(
      'find',
      () => sql`select ${this.columns()} from ${this.table} where ${this.byId(this.table)}`,
    );
    const { rows } = await this.cx.driver.exec(statement.query({ id: parseId(id) }));
    return rows[0] ? this.#decode(rows[0]) : null;
  }

  /**
   * Reads one row.
   *
   * @throws NotFoundError when there is none; ValidationError when the id is no UUID.
   */
  async get(id: string): Promise<Rows[Name]> {
    const row = await this.find(id);
    if (!row) throw new NotFoundError(this.tableName, parseId(id));
    return row;
  }

  /** Lists rows that fit the filter, by cursor: exact also while rows come and go, and as fast on the last page as on the first. */
  async list(filter: Filter = {} as Filter, options: CursorOptions<Sort> = {}): Promise<Page<Rows[Name]>> {
    this.#paging().byCursor(options);
    const conditions = this.conditions(filter);
    const sort = options.sort ?? this.#defaultSort();
    const after = options.after ? decodeCursor(sort, options.after) : undefined;
    return this.#page(conditions, sort, clampLimit(options.limit), after);
  }

  /** Lists rows that fit the filter, by page number and with totals, as dashboards show them. It costs a count. */
  async listPage(
    filter: Filter = {} as Filter,
    options: NumberedOptions<Sort> = {},
  ): Promise<NumberedPage<Rows[Name]>> {
    this.#paging().numbered(options);
    return this.#numbered(this.conditions(filter), options.sort ?? this.#defaultSort(), options);
  }

  /** Counts the rows that fit the filter, exactly. */
  async count(filter: Filter = {} as Filter): Promise<number> {
    return this.#count(this.conditions(filter));
  }

  /** Reads all rows that fit the filter, a page at a time: for as many rows as there are. */
  async *stream(
    filter: Filter = {} as Filter,
    options: StreamOptions<Sort> = {},
  ): AsyncGenerator<Rows[Name], void, void> {
    const conditions = this.conditions(filter);
    const sort = options.sort ?? this.#defaultSort();
    this.#paging().byCursor({ sort });
    const limit = clampLimit(options.batchSize ?? MAX_LIMIT);
    let after: Cursor | undefined;
    do {
      const page: Page<Rows[Name]> = await this.#page(conditions, sort, limit, after);
      yield* page.items;
      after = page.next === null ? undefined : decodeCursor(sort, page.next);
    } while (after);
  }

  /** @internal */
  protected read(name: string, write: () => SQL): Statement {
    return this.cx.statements.one(`${this.tableName}.${name}`, write, { reads: true });
  }

  /** @internal */
  protected decodeAll({ rows }: Result): Rows[Name][] {
    return rows.map(this.#decode);
  }

  /** @internal */
  protected columns(): SQL {
    return sql.join(Object.values(getTableColumns<Table>(this.table)), sql`, `);
  }

  /** The row whose id is bound as `id`. @internal */
  protected byId(row: Table): SQL {
    const { id } = getTableColumns(row);
    return sql`${id} = ${this.cx.dialect.value(id as Column, 'id')}`; // every table of a repository with this method has an id
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

  async #page(conditions: Conditions, sort: Sort, limit: number, after: Cursor | undefined): Promise<Page<Rows[Name]>> {
    const { column, at } = this.#sortColumn(sort);
    const statement = this.read(`list ${conditions.shape} ${sort}${after ? ' after' : ''}`, () => {
      const { id } = getTableColumns<Table>(this.table) as { id: Column };
      const { dialect } = this.cx;
      const compare = this.sorts[sort].descending ? sql`<` : sql`>`;
      const direction = this.sorts[sort].descending ? sql`desc` : sql`asc`;
      const beyond = after
        ? [
            sql`(${column}, ${id}) ${compare} (${dialect.stored(column, 'after_at')}, ${dialect.stored(id, 'after_id')})`,
          ]
        : [];
      return sql`select ${this.columns()} from ${this.table}${conditions.where(...beyond)} order by ${column} ${direction}, ${id} ${direction} limit ${dialect.limit('limit')}`;
    });
    const { rows } = await this.cx.driver.exec(
      statement.query({ ...conditions.values, limit: limit + 1, after_at: after?.at, after_id: after?.id }),
    );
    const items = (rows.length > limit ? rows.slice(0, limit) : rows).map(this.#decode);
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    return { items, next: last ? encodeCursor(sort, { at: String(last[at]), id: String(last[0]) }) : null };
  }

  async #numbered(
    conditions: Conditions,
    sort: Sort,
    options: NumberedOptions<Sort>,
  ): Promise<NumberedPage<Rows[Name]>> {
    const perPage = clampLimit(options.perPage);
    const page = clampPage(options.page ?? 1);
    const { column } = this.#sortColumn(sort);
    const statement = this.read(`page ${conditions.shape} ${sort}`, () => {
      const { id } = getTableColumns<Table>(this.table);
      const direction = this.sorts[sort].descending ? sql`desc` : sql`asc`;
      return sql`select ${this.columns()} from ${this.table}${conditions.where()} order by ${column} ${direction}, ${id} ${direction} limit ${this.cx.dialect.limit('limit')} offset ${bound('offset')}`;
    });
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

  #sortColumn(sort: Sort): { readonly column: Column; readonly at: number } {
    const columns = getTableColumns<Table>(this.table);
    const key = this.sorts[sort].column;
    return { column: columns[key] as Column, at: Object.keys(columns).indexOf(key) };
  }
}
