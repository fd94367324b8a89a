import { type Column, type SQL, sql } from 'drizzle-orm';
import type { Dialect, ListByCreation } from '../driver/dialect.ts';
import type { Values } from '../driver/statement.ts';

interface Part {
  readonly shape: string;
  /** Undefined where it only tells `first`. */
  readonly sql?: (() => SQL) | undefined;
  /** Finds the rows of a list in the order of creation by itself: none of the other conditions has to be asked beside it. */
  readonly first?: (list: ListByCreation) => SQL;
}

/** A condition with the values that are bound in it. */
export interface Condition extends Part {
  readonly values?: Values | undefined;
}

/** The conditions that a filter asks for. Their shapes make the name of the statement; their values are bound to it. */
export class Conditions {
  readonly #parts: Part[] = [];
  readonly #values: Record<string, unknown> = {};

  #open: (() => Promise<Condition | undefined>)[] = [];

  constructor(private readonly dialect: Dialect) {}

  /** Tells which conditions there are: equal shapes have equal SQL. */
  get shape(): string {
    return this.#parts.map(({ shape }) => shape).join();
  }

  get values(): Values {
    return this.#values;
  }

  /** ` where …`, or nothing. */
  where(...more: SQL[]): SQL {
    return where([...this.#written(), ...more]);
  }

  /** The same for a list in the order of creation. */
  whereInOrder(list: Omit<ListByCreation, 'others'>): SQL {
    const finding = this.#parts.findLast(({ first }) => first); // what was decided on last, knows most
    if (!finding?.first) return this.where(...(list.beyond ? [list.beyond] : []));
    const others = written(this.#parts.filter((part) => part !== finding));
    return where([finding.first({ ...list, others })]);
  }

  /** ` and …`, or nothing: behind another condition. */
  and(): SQL {
    return sql.join(this.#written().map((part) => sql` and ${part}`));
  }

  add(shape: string, condition: () => SQL, values?: Values): this {
    return this.addPart({ shape, sql: condition, values });
  }

  addPart({ values, ...part }: Condition): this {
    this.#parts.push(part);
    Object.assign(this.#values, values);
    return this;
  }

  /** A condition that is decided on when the query is made; undefined leaves it out. */
  later(decide: () => Promise<Condition | undefined>): this {
    this.#open.push(decide);
    return this;
  }

  /** Whether something is open: what is decided may not be true any more when the query runs. */
  get isOpen(): boolean {
    return this.#open.length > 0;
  }

  /** Decides what is open: to be awaited before the conditions are used, where it answers a promise. */
  settled(): Promise<this> | this {
    return this.#open.length ? this.#settle() : this;
  }

  /** The column has one of these values; an empty list matches nothing. */
  oneOf(column: Column, wanted: string | readonly string[] | undefined): this {
    if (wanted === undefined) return this;
    const values = typeof wanted === 'string' ? [wanted] : [...new Set(wanted)];
    const names = this.#bind(column.name, values);
    return this.add(`${column.name}:${names.length}`, () =>
      names.length
        ? sql`${column} in (${sql.join(
            names.map((name) => this.dialect.value(column, name)),
            sql`, `,
          )})`
        : sql`1 = 0`,
    );
  }

  /** The column is this. */
  equals(column: Column, value: boolean | string | undefined): this {
    const name = `${column.name}_equals`;
    if (value === undefined) return this;
    return this.add(name, () => sql`${column} = ${this.dialect.value(column, name)}`, { [name]: value });
  }

  /** One of these text columns holds this text, by the rule of every search. */
  textIn(columns: readonly Column[], search: string | undefined): this {
    if (search === undefined) return this;
    const name = `${columns.map((column) => column.name).join('_')}_contains`;
    return this.add(
      name,
      () =>
        sql`(${sql.join(
          columns.map((column) => this.dialect.textContains(column, name)),
          sql` or `,
        )})`,
      { [name]: search },
    );
  }

  /** The time is this or later. */
  from(column: Column, time: Date | undefined): this {
    const name = `${column.name}_from`;
    if (time === undefined) return this;
    return this.add(name, () => sql`${column} >= ${this.dialect.value(column, name)}`, { [name]: time });
  }

  /** The time is before this. */
  before(column: Column, time: Date | undefined): this {
    const name = `${column.name}_before`;
    if (time === undefined) return this;
    return this.add(name, () => sql`${column} < ${this.dialect.value(column, name)}`, { [name]: time });
  }

  present(column: Column, wanted: boolean | undefined): this {
    if (wanted === undefined) return this;
    return wanted
      ? this.add(`${column.name}+`, () => sql`${column} is not null`)
      : this.add(`${column.name}-`, () => sql`${column} is null`);
  }

  /** The JSON array of strings holds any, or all, of these. */
  includes(column: Column, wanted: string | readonly string[] | undefined, how: 'any' | 'all'): this {
    if (wanted === undefined) return this;
    const values = typeof wanted === 'string' ? [wanted] : [...new Set(wanted)];
    const names = this.#bind(`${column.name}_${how}`, values);
    const neutral = how === 'any' ? sql`1 = 0` : sql`1 = 1`;
    return this.add(`${column.name}_${how}:${names.length}`, () => {
      const parts = names.map((name) => this.dialect.includes(column, name));
      return parts.length ? sql`(${sql.join(parts, how === 'any' ? sql` or ` : sql` and `)})` : neutral;
    });
  }

  #written(): readonly SQL[] {
    return written(this.#parts);
  }

  async #settle(): Promise<this> {
    for (const decide of this.#open.splice(0)) {
      const part = await decide();
      if (part) this.addPart(part);
    }
    return this;
  }

  #bind(prefix: string, values: readonly string[]): readonly string[] {
    return values.map((value, i) => {
      this.#values[`${prefix}${i}`] = value;
      return `${prefix}${i}`;
    });
  }
}

const written = (parts: readonly Part[]) => parts.flatMap((part) => part.sql?.() ?? []);
const where = (all: readonly SQL[]) => (all.length ? sql` where ${sql.join([...all], sql` and `)}` : sql``);
