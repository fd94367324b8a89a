import { type Column, is, Param, Placeholder, type SQL, sql } from 'drizzle-orm';
import type { Dialect } from './dialect.ts';
import type { Query } from './port.ts';

/** The values of a statement, by name. */
export type Values = Readonly<Record<string, unknown>>;

/** What a statement does: see `Query`. */
export interface Kind {
  readonly reads: boolean;
  readonly fresh?: boolean;
  readonly byKey?: boolean;
  /** Of several: the second. */
  readonly asMany?: boolean;
}

/** A statement whose SQL was written once; each run only binds values. */
export interface Statement {
  query(values: Values): Query;
}

/** Stands for a value that is bound by name; `encode` makes of it what the database takes. NULL stays NULL. */
export function bound(name: string, encode?: (value: never) => unknown): SQL {
  const placeholder = sql.placeholder(name);
  return encode
    ? sql`${new Param(placeholder, { mapToDriverValue: encode as (value: unknown) => unknown })}`
    : sql`${placeholder}`;
}

/** Stands for a value of a column, bound by name and encoded by the column's codec. */
export const boundTo = (column: Column, name: string): SQL => sql`${new Param(sql.placeholder(name), column)}`;

/**
 * Writes a statement's SQL, with the binder of its values. Drizzle's own fillPlaceholders() hands NULL to the codecs, so
 * that a JSON column would get JSON's null instead of SQL's.
 */
export function compile(
  dialect: Dialect,
  statement: SQL,
  { reads, fresh = false, byKey = false, asMany = false }: Kind,
): Statement {
  const { sql: text, params } = dialect.write(statement);
  const binders = params.map((param) => {
    if (is(param, Placeholder)) return (values: Values) => valueNamed(values, param.name);
    if (is(param, Param) && is(param.value, Placeholder)) {
      const { encoder } = param;
      const { name } = param.value;
      return (values: Values) => {
        const value = valueNamed(values, name);
        return value === null ? null : encoder.mapToDriverValue(value);
      };
    }
    return () => param;
  });
  return {
    query: (values) => ({ sql: text, params: binders.map((bind) => bind(values)), reads, fresh, byKey, asMany }),
  };
}

/** A name that no value stands for is a mistake of ours: it must not reach a driver, which fails in ways of its own (F-E7). */
function valueNamed(values: Values, name: string): unknown {
  const value = values[name];
  if (value === undefined) throw new TypeError(`no value is bound for '${name}'`);
  return value;
}

const CAPACITY = 1000;

/** The statements of one store, by a name that tells their shape. The least recently made ones are dropped first. */
export class StatementCache {
  readonly #statements = new Map<string, readonly Statement[]>();

  constructor(private readonly dialect: Dialect) {}

  /** One statement, written when it is first asked for. */
  one(name: string, write: () => SQL, kind: Kind): Statement {
    return this.several(name, () => [write()], kind)[0] as Statement; // several() keeps the number
  }

  several(name: string, write: () => readonly SQL[], kind: Kind): readonly Statement[] {
    let statements = this.#statements.get(name);
    if (!statements) {
      statements = write().map((statement, i) =>
        compile(this.dialect, statement, i === 1 ? kind : { ...kind, asMany: false }),
      );
      if (this.#statements.size >= CAPACITY) this.#statements.delete(this.#statements.keys().next().value ?? '');
      this.#statements.set(name, statements);
    }
    return statements;
  }
}
