/** A load of 100 callers, and the proof that nothing was lost under it. */
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { expect } from 'vitest';
import { BusyError, ConnectionError, ReadOnlyError, TimeoutError } from '../../src/index.ts';
import type { Store } from '../../src/store.ts';
import { newIncident } from '../support/fixtures.ts';
import { settled } from '../support/settled.ts';

/** Finite limits that a test can wait for. */
export const LIMITS = {
  connectTimeoutMs: 1_000,
  acquireTimeoutMs: 3_000,
  statementTimeoutMs: 5_000,
  silenceTimeoutMs: 2_000,
};

/** 100 callers that write, read and transact until they are told to end; what they were told is checked against what is there. */
export function load(store: Store) {
  const acknowledged: string[] = [];
  const unknown: string[] = [];
  const errors: unknown[] = [];
  let isOver = false;
  const call = async (i: number): Promise<unknown> => {
    const id = crypto.randomUUID();
    const work: Promise<unknown> =
      i % 4 === 0
        ? store.transaction(async (tx) => void (await tx.incidents.create(newIncident({ id }))))
        : i % 4 === 1
          ? store.incidents.find(id)
          : i % 4 === 2
            ? store.incidents.list({}, { limit: 5 })
            : store.incidents.create(newIncident({ id }));
    const outcome = await settled(work, 60_000);
    if (outcome instanceof Error) {
      errors.push(outcome);
      if ('outcome' in outcome && outcome.outcome === 'unknown') unknown.push(id);
    } else if (i % 4 === 0 || i % 4 === 3) acknowledged.push(id);
    return outcome;
  };
  const calling = Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      while (!isOver) {
        if ((await call(i)) instanceof Error) await sleep(20);
      }
    }),
  );
  return {
    acknowledged,
    errors,
    async end() {
      isOver = true;
      await calling;
      for (const error of errors)
        expect(
          [ConnectionError, TimeoutError, BusyError, ReadOnlyError].some((kind) => error instanceof kind),
          String(error),
        ).toBe(true);
      expect(acknowledged.length).toBeGreaterThan(0);
      return { acknowledged, unknown: new Set(unknown) };
    },
  };
}

/** Each incident that was acknowledged is there once, with its entry; none is there of a call that failed for certain. */
export async function nothingLost(
  url: string,
  { acknowledged, unknown }: { acknowledged: readonly string[]; unknown: ReadonlySet<string> },
) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const rows = await sql<{ id: string; entries: number }[]>`
    select i.id, count(a.id)::int as entries from incidents i left join audit_logs a on a.incident_id = i.id group by i.id`;
  await sql.end();
  const there = new Map(rows.map(({ id, entries }) => [id, entries]));
  for (const id of acknowledged) expect(there.get(id)).toBe(1);
  const known = new Set(acknowledged);
  for (const id of there.keys())
    expect(known.has(id) || unknown.has(id), 'an incident of a call that had failed').toBe(true);
}

/** Without incidents and their trail. */
export const emptied = async (url: string) => {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await sql.unsafe(
    'alter table audit_logs disable trigger all; truncate incidents cascade; alter table audit_logs enable trigger all',
  );
  await sql.end();
};
