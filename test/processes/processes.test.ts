/** What crosses processes, with real ones: they run the built package. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BusyError } from '../../src/index.ts';
import { runChild } from '../support/child.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newAction, newIncident } from '../support/fixtures.ts';
import { MIGRATIONS } from '../support/migrations.ts';
import { expectChain } from '../support/trail.ts';

describe.each(SHARED_BACKENDS)('several processes · $name', (backend) => {
  it('migrate one empty database at once: all succeed, and each migration is recorded once', async () => {
    // R-M1
    const database = await backend.create({ empty: true });
    const children = Array.from({ length: 10 }, () => runChild('migrate.mjs', database.url));
    const applied = (await Promise.all(children.map(({ done }) => done))).flatMap(
      (output) => JSON.parse(output) as string[],
    );
    expect(applied.sort()).toEqual(MIGRATIONS);
    const log = backend.dialect === 'sqlite' ? '__drizzle_migrations' : 'drizzle.__drizzle_migrations';
    expect(await database.raw(`select hash from ${log}`)).toHaveLength(MIGRATIONS.length);
    const store = await database.open({ migrations: 'verify' });
    await store.incidents.create(newIncident());
    await database.drop();
  });

  it('claim 1,000 actions with 8 workers: none twice, none left', async () => {
    // R-A7
    const database = await backend.create();
    const store = await database.open();
    const { id } = await store.incidents.create(newIncident());
    await store.transaction(async (tx) => {
      for (let i = 0; i < 1000; i++) await tx.actions.propose(newAction(id, { priority: (i % 100) + 1 }));
    });
    await database.raw(`update actions set approval_status = 'approved'`);
    const children = Array.from({ length: 8 }, (_, i) => runChild('claim.mjs', database.url, `worker-${i}`));
    const taken = (await Promise.all(children.map(({ done }) => done))).map((output) => JSON.parse(output) as string[]);
    const all = taken.flat();
    expect(all).toHaveLength(1000);
    expect(new Set(all).size).toBe(1000);
    expect(await store.actions.count({ status: 'executed' })).toBe(1000);
    for (const action of ['action_claimed', 'action_executed'])
      expect(await store.auditLogs.count({ incidentId: id, action })).toBe(1000);
    await database.drop();
  }, 120_000);

  it('leave trails that are chains: 3 processes × 8 writers × 200 changes', async () => {
    // F-A1
    const database = await backend.create();
    const store = await database.open();
    const ids = await store.incidents.createMany(Array.from({ length: 12 }, () => newIncident()));
    const children = [1, 2, 3].map((seed) => runChild('change.mjs', database.url, String(seed), '8', '200', ...ids));
    await Promise.all(children.map(({ done }) => done));
    let changes = 0;
    for (const id of ids) changes += await expectChain(store, id);
    expect(changes).toBeGreaterThan(3 * 8 * 100);
    await database.drop();
  }, 300_000);

  it('lose nothing that was acknowledged when one is killed', async () => {
    // R-O8
    const database = await backend.create();
    const child = runChild('write-until-killed.mjs', database.url);
    while (child.output().split('\n').length < 50) await sleep(5);
    child.process.kill('SIGKILL');
    await child.done.catch(() => {});
    const acknowledged = child.output().split('\n').slice(0, -1);
    const store = await database.open();
    for (const id of acknowledged) expect(await store.auditLogs.count({ incidentId: id })).toBe(1);
    expect(await store.incidents.count()).toBeLessThanOrEqual(acknowledged.length + 1);
    await database.drop();
  });

  it('end by themselves once the store is closed', async () => {
    // R-O1
    const database = await backend.create();
    expect((await runChild('open-and-end.mjs', database.url).done).trim()).toBe('closed');
    await database.drop();
  });
});

describe('another process that writes to the SQLite file', () => {
  const file = SHARED_BACKENDS.find(({ dialect }) => dialect === 'sqlite');
  if (!file) throw new Error('There is a SQLite backend');

  it('is waited for, up to a limit, and the event loop stays free meanwhile', async () => {
    // R-T6: better-sqlite3's own busy timeout blocks the loop (better-sqlite3#155)
    const database = await file.create();
    const hasty = await database.open({ busyTimeoutMs: 100 });
    const patient = await database.open({ busyTimeoutMs: 20_000 });
    const { id } = await patient.incidents.create(newIncident());
    const child = runChild('hold-lock.mjs', database.url.replace('sqlite:', ''));
    await child.printed('held');

    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 2);
    const waiting = patient.incidents.create(newIncident());
    const transaction = patient.transaction((tx) => tx.incidents.addTags(id, ['later']));
    await expect(hasty.incidents.create(newIncident())).rejects.toBeInstanceOf(BusyError);
    await expect(hasty.transaction((tx) => tx.incidents.count())).rejects.toBeInstanceOf(BusyError);
    expect((await hasty.incidents.get(id)).id).toBe(id); // a reader does not wait
    clearInterval(timer);
    delay.disable();
    expect(ticks).toBeGreaterThan(20); // in 200 ms, at the least
    expect(delay.max / 1e6).toBeLessThan(100); // one blocked wait would be at least the limit of 100 ms

    child.process.stdin?.write('\n');
    await child.done;
    expect((await waiting).status).toBe('new');
    expect((await transaction).tags).toEqual(['later']);
    await database.drop();
  });
});
