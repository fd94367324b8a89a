import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import type { AuditedUpdate } from '../driver/dialect.ts';
import type { Result } from '../driver/port.ts';
import type { Values } from '../driver/statement.ts';
import { ConflictError, NotFoundError } from '../errors.ts';
import { auditValues, type Entry } from './audit.ts';
import { Repository } from './repository.ts';
import type { Rows, TableName } from './tables.ts';

/** A patch's columns and how a row's audit entry tells of it. */
export interface Change {
  /** Equal names, shapes of entries and keys have equal SQL. */
  readonly set: (row: Table, instant: SQL) => Readonly<Record<string, SQL>>;
  readonly values: Values;
  readonly entry: Entry;
}

/** The same, of the rows that fit. */
export type Changes = Pick<AuditedUpdate, 'where' | 'first' | 'one'> & Change;

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
        const audit = entry.columns(this.cx, this.table, sql`null`).map((value, i) => (i === 1 ? incident : value));
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
    const { where, one, first, set, values, entry } = change;
    const { dialect, driver, settings, statements } = this.cx;
    const { clock } = settings;
    const queries = statements.several(
      `${this.tableName}.${name} ${clock} ${entry.shape}`,
      () =>
        dialect.auditedUpdate({
          table: this.table,
          where,
          ...(one ? { one } : {}),
          ...(first ? { first } : {}),
          clock,
          set,
          audit: (row, instant) => entry.columns(this.cx, row, instant),
          several: entry.several,
        }),
      { reads: false, asMany: true },
    );
    const all = { ...values, ...entry.values, ...auditValues(this.cx, ids) };
    return driver.batch(queries.map((query) => query.query(all)));
  }

  /**
   * Changes one row, if `guard` is true of it. Where it holds the new values already, nothing is written, and it is returned as it is; unless it is one of
   * the changes that `always` are changes.
   *
   * @throws NotFoundError; ConflictError with the reason `unless` where the guard is false.
   * @internal
   */
  protected async changeOne(name: string, id: string, change: OneChange): Promise<Row> {
    const { guard = () => sql`1 = 1`, unless = 'it changed meanwhile', always = false } = change;
    const differs = (row: Table) => (always ? sql`1 = 1` : this.#differs(row, change));
    const { rows } = await this.changeRows(name, {
      ...change,
      where: (row) => this.byId(row),
      one: { guard, differs },
      values: { id, ...change.values },
    });
    const [found] = rows;
    if (!found) throw new NotFoundError(this.tableName, id);
    const [wasChanged, isAllowed] = found.slice(-2);
    if (!wasChanged && !isAllowed) throw new ConflictError(this.tableName, id, unless);
    return this.decodeAll({ rows: [found.slice(0, -2)], count: 1 })[0] as Row; // one row is decoded to one
  }

  /** Whether a row holds anything else than it is set to, but for the time of the change. */
  #differs(row: Table, { set }: Change): SQL {
    const columns = getTableColumns<Table>(row);
    const instant = sql`null`;
    const parts = Object.entries(set(row, instant))
      .filter(([, value]) => value !== instant)
      .map(([key, value]) => this.cx.dialect.differs(columns[key] as Column, value));
    return sql`(${sql.join(parts, sql` or `)})`;
  }
}

/** A change of one row. */
export interface OneChange extends Change {
  /** What must be true of the row. */
  readonly guard?: (row: Table) => SQL;
  /** Why it was not changed where that is not so. */
  readonly unless?: string;
  /** It changes the row whatever that holds. */
  readonly always?: boolean;
}
