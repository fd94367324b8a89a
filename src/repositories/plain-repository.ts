import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import type { Values } from '../driver/statement.ts';
import { ValidationError } from '../errors.ts';
import { now } from './audit.ts';
import { insertAll } from './bulk.ts';
import { Repository } from './repository.ts';
import type { Rows, TableName } from './tables.ts';

/** What is set in a row, and on which condition. */
export interface PlainChange {
  /** Tells the statement's shape, with the keys of `set`. */
  readonly name: string;
  readonly set: Readonly<Record<string, SQL>>;
  readonly values: Values;
  readonly where?: SQL;
}

/** What is recorded as of a time. */
export interface ChangeAsOf {
  readonly name: string;
  /** The key of the column that holds the time. */
  readonly key: string;
  readonly set: Readonly<Record<string, SQL>>;
  readonly values: Values;
}

/** Milliseconds by which the clock of a caller may be ahead of the store's. */
const CLOCKS_APART_MS = 5_000;

/** A repository whose writes leave no audit row: each is one statement. */
export abstract class PlainRepository<
  Name extends TableName,
  Filter extends object,
  Sort extends string,
  Row = Rows[Name],
> extends Repository<Name, Filter, Sort, Row> {
  /** Inserts a row, `values` being those of all its columns, and answers it. @internal */
  protected async insert(values: Values): Promise<Row> {
    const insert = this.write('insert', () => this.insertSql());
    await this.cx.driver.exec(insert.query(values));
    return this.fresh(values);
  }

  /** Inserts rows, all of them or none, and answers them in their order. @internal */
  protected async insertRows(rows: readonly Values[]): Promise<readonly Row[]> {
    await insertAll(this.cx, { table: this.table, row: (values: Values) => values }, rows);
    return rows.map((values) => this.fresh(values));
  }

  /** Changes one row and answers it; null when there is none with this id that fits. @internal */
  protected async change(id: string, { name, set, values, where }: PlainChange): Promise<Row | null> {
    const columns = getTableColumns<Table>(this.table);
    const change = this.write(
      `${name} ${Object.keys(set).join()}`,
      () =>
        sql`update ${this.table} set ${sql.join(
          Object.entries(set).map(([key, value]) => sql`${sql.identifier((columns[key] as Column).name)} = ${value}`),
          sql`, `,
        )} where ${this.byId(this.table)}${where ? sql` and ${where}` : sql``} returning ${this.columns()}`,
    );
    const [row] = this.decodeAll(await this.cx.driver.exec(change.query({ ...values, id })));
    return row ?? null;
  }

  /**
   * Records what happened at a time in a column that holds the latest such time: now, by the clock of the store, unless it is given. Nothing is changed
   * where a later one stands; but one in the future, which a clock that was ahead has left, stands in no way. Returns the row as it is then.
   *
   * @throws NotFoundError; ValidationError for a time in the future.
   * @internal
   */
  protected async changeAsOf(id: string, at: Date | undefined, { name, key, set, values }: ChangeAsOf): Promise<Row> {
    const { dialect, driver, settings } = this.cx;
    const { clock } = settings;
    const column = getTableColumns<Table>(this.table)[key] as Column;
    const bound = { ...values, at, earliest: at && new Date(at.getTime() - CLOCKS_APART_MS), now: now(this.cx) };
    const present = dialect.now(clock);
    const time = at ? dialect.value(column, 'at') : present;
    const isPast = sql`${dialect.value(column, 'earliest')} <= ${present}`;
    const row = await this.change(id, {
      name: `${name} ${clock}${at ? ' at' : ''}`,
      set: { ...set, [key]: time },
      values: bound,
      where: sql`(${column} is null or ${dialect.notAfter(column, time)} or not ${dialect.notAfter(column, present)})${at ? sql` and ${isPast}` : sql``}`,
    });
    if (row) return row;
    const current = await this.current(id);
    if (!at) return current;
    const look = this.write(`${name} ${clock} look`, () => sql`select case when ${isPast} then 1 else 0 end`);
    const { rows } = await driver.exec(look.query(bound));
    if (Number(rows[0]?.[0]) === 0) throw new ValidationError([{ path: 'at', message: 'is in the future' }]);
    return current;
  }

  /** Removes one row; answers whether there was one. @internal */
  protected async remove(id: string): Promise<boolean> {
    const remove = this.write('delete', () => sql`delete from ${this.table} where ${this.byId(this.table)}`);
    return (await this.cx.driver.exec(remove.query({ id }))).count > 0;
  }

  /** @internal */
  protected write(name: string, statement: () => SQL) {
    return this.cx.statements.one(`${this.tableName}.${name}`, statement, { reads: false });
  }
}
