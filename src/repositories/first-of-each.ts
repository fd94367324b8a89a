import { type Column, sql, type Table } from 'drizzle-orm';
import type { Dialect, ListByCreation } from '../driver/dialect.ts';
import type { Conditions } from './conditions.ts';

/** A column, and what is wanted of it. */
export interface Wanted {
  readonly column: Column;
  /** Any where it is undefined. */
  readonly values: string | readonly string[] | undefined;
  /** All that there are. */
  readonly all: readonly string[];
}

/** Where the rows of a list are. */
export interface Listed {
  readonly table: Table;
  readonly id: Column;
  readonly created: Column;
  /** The first columns of an index that goes on with `created` and the id. */
  readonly wanted: readonly Wanted[];
}

/**
 * The columns have one of these values. A list in the order of creation is put together of the lists of each value, which the index
 * has in that order; it has none for several values at once. A walk along the order would see the whole table where few rows fit; a
 * sort, all rows where many do.
 */
export function firstOfEach(dialect: Dialect, conditions: Conditions, { table, id, created, wanted }: Listed): void {
  const lists = wanted.map(({ column, values, all }) => {
    const chosen = values === undefined ? all : typeof values === 'string' ? [values] : [...new Set(values)];
    const names = chosen.map((_, i) => `${column.name}${i}`);
    const bound = Object.fromEntries(chosen.map((value, i) => [`${column.name}${i}`, value]));
    return { column, isGiven: values !== undefined, bound, values: names.map((name) => dialect.value(column, name)) };
  });
  if (lists.some(({ values }) => !values.length)) return void conditions.add('none', () => sql`1 = 0`);
  const first = ({ descending, beyond, limit, others }: ListByCreation) => {
    const direction = descending ? sql`desc` : sql`asc`;
    const end = sql`limit ${dialect.limit(limit)}`;
    const ofEach = dialect.each(
      lists.map(({ values }) => values),
      (values) => {
        const fits = lists.map(({ column }, i) => sql`${column} = ${values[i]}`);
        const where = sql.join([...fits, ...others, ...(beyond ? [beyond] : [])], sql` and `);
        return sql`select ${created} as made, ${id} as one from ${table} where ${where} order by ${created} ${direction}, ${id} ${direction} ${end}`;
      },
    );
    return sql`${id} in (select one from (${ofEach}) as parts order by made ${direction}, one ${direction} ${end})`;
  };
  const given = lists.filter(({ isGiven }) => isGiven);
  conditions.addPart({
    shape: lists.map(({ column, isGiven, values }) => `${column.name}:${isGiven ? values.length : 'any'}`).join(),
    sql: () =>
      sql.join(
        given.map(({ column, values }) => sql`${column} in (${sql.join(values, sql`, `)})`),
        sql` and `,
      ),
    first,
    values: Object.assign({}, ...lists.map(({ bound }) => bound)),
  });
}
