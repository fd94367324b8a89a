/** F-H2e: what SQLite does on the event loop, with many callers, and with a log that cannot start anew. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { afterAll, expect, it } from 'vitest';
import { openSqliteStore } from '../src/sqlite/open.ts';
import { WAL_LIMIT_BYTES } from '../src/sqlite/wal.ts';
import { newIncident } from './support/fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'tw-loop-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('gives the loop its turn many times while 20,000 reads are made at the same moment, and keeps their order', async () => {
  const store = await openSqliteStore(`sqlite:${join(folder, 'reads.db')}`, { maxQueued: 20_000 });
  const ids = await store.incidents.createMany(
    Array.from({ length: 500 }, (_, i) => newIncident({ alertData: { n: i, text: 'x'.repeat(1_000) } })),
  );
  let turns = 0;
  let isOver = false;
  const turn = () => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const order: number[] = [];
  const rows = await Promise.all(
    Array.from({ length: 20_000 }, async (_, i) => {
      const row = await store.incidents.get(ids[i % ids.length] as string);
      order.push(i);
      return row.id;
    }),
  );
  isOver = true;
  expect(rows).toEqual(Array.from({ length: 20_000 }, (_, i) => ids[i % ids.length]));
  expect(order).toEqual(Array.from({ length: 20_000 }, (_, i) => i));
  expect(turns).toBeGreaterThan(5); // one, when a read that had to wait once did not wait again
  await store.close();
});

it('closes behind more reads than may wait, and refuses writes from then on for what they are', async () => {
  const store = await openSqliteStore(`sqlite:${join(folder, 'closing.db')}`, { maxQueued: 50 });
  const { id } = await store.incidents.create(newIncident({ alertData: 'x'.repeat(50_000) }));
  const reading = Promise.allSettled(Array.from({ length: 2_000 }, () => store.incidents.get(id)));
  await store.close();
  await reading;
  for (const { reason } of (await Promise.allSettled(
    Array.from({ length: 200 }, () => store.incidents.addTags(id, ['x'])),
  )) as PromiseRejectedResult[])
    expect(reason).toMatchObject({ code: 'closed' });
});

it('ends a transaction by its limit that awaits one statement after the other', async () => {
  const store = await openSqliteStore(`sqlite:${join(folder, 'long.db')}`, { durability: 'process' });
  const endless = store.transaction(
    async (tx) => {
      for (;;) await tx.incidents.create(newIncident());
    },
    { timeoutMs: 150 },
  );
  await expect(endless).rejects.toMatchObject({ code: 'timeout', reason: 'transaction' });
  expect(await store.incidents.count()).toBe(0);
  await store.close();
});

it('lets the log start anew while writes go on, after a transaction that made it large', async () => {
  const file = join(folder, 'busy.db');
  const store = await openSqliteStore(`sqlite:${file}`, { durability: 'process' });
  await store.transaction(async (tx) => {
    for (let i = 0; i < 20; i++) await tx.incidents.create(newIncident({ alertData: 'y'.repeat(1_000_000) }));
  });
  expect(statSync(`${file}-wal`).size).toBeGreaterThan(WAL_LIMIT_BYTES);
  await expect
    .poll(
      async () => {
        for (let i = 0; i < 20; i++) await store.incidents.create(newIncident({ alertData: 'z'.repeat(20_000) }));
        return statSync(`${file}-wal`).size;
      },
      { timeout: 20_000, interval: 1 },
    )
    .toBeLessThanOrEqual(WAL_LIMIT_BYTES);
  await store.close();
});

it('opens the file no more once it is closed, though a thread was about to copy its log', async () => {
  const file = join(folder, 'released.db');
  const store = await openSqliteStore(`sqlite:${file}`, { durability: 'process' });
  await store.transaction(async (tx) => {
    for (let i = 0; i < 20; i++) await tx.incidents.create(newIncident({ alertData: 'y'.repeat(1_000_000) }));
  });
  await store.close(); // the thread is starting
  const beside = () => readdirSync(folder).filter((name) => name.startsWith('released.db-'));
  for (let i = 0; i < 20; i++) {
    expect(beside()).toEqual([]);
    await sleep(20);
  }
});

it('refuses reads beyond maxQueued instead of keeping them all', async () => {
  const store = await openSqliteStore(`sqlite:${join(folder, 'queue.db')}`, { maxQueued: 10 });
  const { id } = await store.incidents.create(newIncident({ alertData: 'x'.repeat(100_000) }));
  const outcomes = await Promise.allSettled(Array.from({ length: 3_000 }, () => store.incidents.get(id)));
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  expect(refused.length).toBeGreaterThan(0);
  for (const { reason } of refused) expect(reason).toMatchObject({ code: 'busy', reason: 'queue_full' });
  expect((await store.incidents.get(id)).id).toBe(id);
  await store.close();
});

it('copies a log that has grown behind a reader on a thread, and cuts it', async () => {
  const file = join(folder, 'wal.db');
  const store = await openSqliteStore(`sqlite:${file}`, { durability: 'process' });
  const size = () => statSync(`${file}-wal`).size;
  const big = (n: number) => store.incidents.create(newIncident({ alertData: { n, text: 'x'.repeat(1_000_000) } }));
  await big(0);
  const reader = new Database(file, { readonly: true });
  const reading = reader.prepare('select id from incidents').iterate();
  reading.next(); // a snapshot, which stays open
  for (let i = 1; size() < 2 * WAL_LIMIT_BYTES; i++) await big(i);
  const grown = size();
  reading.return?.();
  reader.close();
  // nothing but small writes from now on: none of them has to copy what has grown
  await expect
    .poll(
      async () => {
        await store.incidents.create(newIncident());
        await sleep(20);
        return size();
      },
      { timeout: 20_000 },
    )
    .toBeLessThanOrEqual(WAL_LIMIT_BYTES);
  expect(grown).toBeGreaterThan(WAL_LIMIT_BYTES);
  await store.close();
  const check = new Database(file);
  expect(check.pragma('integrity_check', { simple: true })).toBe('ok');
  check.close();
});
