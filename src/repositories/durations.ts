import { type SQL, sql } from 'drizzle-orm';

/** How long something took: of all that fit, in milliseconds. Null where there were none. */
export interface Durations {
  readonly count: number;
  readonly meanMs: number | null;
  /** Percentiles by the nearest rank: the shortest time that this share of them did not exceed. */
  readonly p50Ms: number | null;
  readonly p90Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

const SHARES = [0.5, 0.9, 0.95, 0.99] as const;

/** The columns that `durationsOf` reads: of rows with `ms`, their `rank` in its order, and their number `n`, apart by nothing else. */
export const durationColumns: SQL = sql.join(
  [
    sql`count(ms)`,
    sql`avg(ms)`,
    ...SHARES.map((share) => sql`min(case when rank >= ${sql.raw(String(share))} * n then ms end)`),
  ],
  sql`, `,
);

/** What ranks rows by `ms`, apart by `partition` where it is given. */
export const ranked = (partition?: SQL): SQL => {
  const by = partition ? sql`partition by ${partition} ` : sql``;
  return sql`row_number() over (${by}order by ms) as rank, count(*) over (${partition ? sql`partition by ${partition}` : sql``}) as n`;
};

/** Reads the values of `durationColumns`. */
export function durationsOf(values: readonly unknown[]): Durations {
  const [count, mean, p50, p90, p95, p99] = values.map((value) => (value === null ? null : Number(value)));
  return {
    count: count ?? 0,
    meanMs: mean ?? null,
    p50Ms: p50 ?? null,
    p90Ms: p90 ?? null,
    p95Ms: p95 ?? null,
    p99Ms: p99 ?? null,
  };
}
