import { getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import type { AuditedUpdate } from '../driver/dialect.ts';
import type { Result } from '../driver/port.ts';
import type { Values } from '../driver/statement.ts';
import { auditValues, type Entry } from './audit.ts';
import { Repository } from './repository.ts';
import type { Rows, TableName } from './tables.ts';

/** A patch's columns and how a row's audit entry tells of it. */
export interface Change {
  /** Equal names, shapes of entries and keys have equal SQL. */
  readonly set: (instant: SQL) => Readonly<Record<string, SQL>>;
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
   * Inserts a row and its audit row; `values` are those of all its columns but for those that are `dated`: they hold the instant of the entry.
   * Returns the row as it is stored, made from the encoded values: nothing else is read back.
   *
   * @internal
   */
  protected async insertAudited(values: Values, entry: Entry, dated: readonly string[]): Promise<Row> {
    const { dialect, driver, settings, statements } = this.cx;
    const { clock } = settings;
    const queries = statements.several(
      `${this.tableName}.create ${clock} ${entry.shape} ${dated.join()}`,
      () => {
        const bound = Object.fromEntries(
          Object.entries(getTableColumns<Table>(this.table))
            .filter(([key]) => !dated.includes(key))
            .map(([key, column]) => [key, dialect.value(column, key)]),
        );
        const incident = (bound.incidentId ?? bound.id) as SQL; // an incident has only an id
        const audit = entry.columns(this.cx, this.table).map((value, i) => (i === 1 ? incident : value));
        return dialect.auditedInsert({ table: this.table, clock, values: bound, dated, incident, audit });
      },
      { reads: false, asMany: true },
    );
    const all: Values = { ...values, ...entry.values, ...auditValues(this.cx) };
    const { rows, instant } = await driver.batch(queries.map((query) => query.query(all)));
    const { now } = all;
    const at =
      now instanceof Date ? now : dialect.tables.auditLogs.createdAt.mapFromDriverValue(rows[0]?.[0] ?? instant);
    return this.fresh({ ...values, ...Object.fromEntries(dated.map((key) => [key, at])) });
  }

  /** Changes rows and writes an audit row for each. `name` and `entry.shape` tell the statement's shape. @internal */
  protected async changeAudited(name: string, change: Changes, ids?: readonly string[]): Promise<Row[]> {
    return this.decodeAll(await this.changeRows(name, change, ids));
  }

  /** The same, not yet decoded. @internal */
  protected async changeRows(name: string, change: Changes, ids?: readonly string[]): Promise<Result> {
    const { where, first, set, values, entry } = change;
    const { dialect, driver, settings, statements } = this.cx;
    const { clock } = settings;
    const queries = statements.several(
      `${this.tableName}.${name} ${clock} ${entry.shape}`,
      () =>
        dialect.auditedUpdate({
          table: this.table,
          where,
          ...(first ? { first } : {}),
          clock,
          set,
          audit: (row) => entry.columns(this.cx, row),
          several: entry.several,
        }),
      { reads: false, asMany: true },
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
