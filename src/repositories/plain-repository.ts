import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import type { Values } from '../driver/statement.ts';
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
