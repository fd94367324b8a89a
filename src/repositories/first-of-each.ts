import { type Column, type SQL, sql, type Table } from 'drizzle-orm';
import type { Dialect, ListByCreation } from '../driver/dialect.ts';
import type { Conditions } from './conditions.ts';

/** A column with an index that has it first, and the values that are wanted of it. */
export interface Wanted {
  readonly column: Column;
  readonly values: readonly string[];
}

/** The values that a filter asks for; all of them where it does not. */
export const listOf = <T extends string>(wanted: T | readonly T[] | undefined, all: readonly T[]): readonly T[] =>
  wanted === undefined ? all : typeof wanted === 'string' ? [wanted] : [...new Set(wanted)];

/**
 * A list in the order of creation is put together of the lists of each value: an index has these in that order, and none has it for
 * several values at once. A walk along the order would see the whole table where few rows fit; a sort, all rows where many do.
 */
export function firstOfEach(
  dialect: Dialect,
  conditions: Conditions,
  {
    table,
    id,
    created,
    wanted,
  }: {
    readonly table: Table;
    readonly id: Column;
    readonly created: Column;
    /** The columns before `created` in an index. */
    readonly wanted: readonly Wanted[];
  },
): void {
  const name = (column: Column, i: number) => `each_${column.name}${i}`;
  const sets = wanted.reduce<readonly (readonly SQL[])[]>(
    (all, { column, values }) =>
      all.flatMap((set) => values.map((_, i) => [...set, sql`${column} = ${dialect.value(column, name(column, i))}`])),
    [[]],
  );
  if (!sets.length) return; // nothing fits
  const list = ({ descending, beyond, limit, where }: ListByCreation) => {
    const direction = descending ? sql`desc` : sql`asc`;
    const end = sql`limit ${dialect.limit(limit)}`;
    const parts = sets.map((set, i) => {
      return sql`select * from (select ${created} as made, ${id} as one from ${table}${where} and ${sql.join([...set, ...(beyond ? [beyond] : [])], sql` and `)} order by ${created} ${direction}, ${id} ${direction} ${end}) as ${sql.identifier(`part${i}`)}`;
    });
    return sql`${id} in (select one from (${sql.join(parts, sql` union all `)}) as parts order by made ${direction}, one ${direction} ${end})`;
  };
  conditions.addPart({
    shape: `first of ${wanted.map(({ column, values }) => `${column.name}:${values.length}`).join()}`,
    first: list,
    values: Object.fromEntries(
      wanted.flatMap(({ column, values }) => values.map((value, i) => [name(column, i), value])),
    ),
  });
}
