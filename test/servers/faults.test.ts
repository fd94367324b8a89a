/**
 * F-H1, F-H2, F-H2b, F-H2c: a real PostgreSQL that is stopped, frozen, restarted, promoted and starved of connections under 100 callers. Every call
 * settles, nothing that was acknowledged is lost, and the next call works.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ConnectionError, type PostgresOptions, StoreError } from '../../src/index.ts';
import { openPostgresStore } from '../../src/postgres/open.ts';
import { newIncident } from '../support/fixtures.ts';
import { settled } from '../support/settled.ts';
import { emptied, LIMITS, load, nothingLost } from './load.ts';
import { Cluster, type Server } from './postgres-15.ts';

let cluster: Cluster;
let primary: Server;
const unexpected: unknown[] = [];
const note = (error: unknown) => unexpected.push(error);

beforeAll(async () => {
  cluster = new Cluster();
  primary = await cluster.primary();
  await (await openPostgresStore(primary.url)).close(); // migrated
  process.on('unhandledRejection', note);
  process.on('uncaughtException', note);
});

afterAll(async () => {
  process.off('unhandledRejection', note);
  process.off('uncaughtException', note);
  await cluster?.stop();
});

const opened = (url: string, options: PostgresOptions = {}) =>
  openPostgresStore(url, { migrations: 'off', poolSize: 10, ...LIMITS, ...options });

it.each(['restarted', 'frozen'] as const)(
  'a server that is %s under 100 callers',
  { timeout: 180_000 },
  async (how) => {
    await emptied(primary.url);
    const store = await opened(primary.url);
    const { errors, acknowledged, end } = load(store);
    for (let round = 0; round < 2; round++) {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(before + 100);
      if (how === 'restarted') {
        await primary.stop();
        await sleep(200);
        await primary.start();
      } else {
        const failed = errors.length;
        primary.freeze();
        await expect.poll(() => errors.length, { timeout: 30_000 }).toBeGreaterThan(failed + 20);
        primary.thaw();
      }
    }
    const before = acknowledged.length;
    await expect.poll(() => acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(before + 100);
    const told = await end();
    expect(errors.length).toBeGreaterThan(0);
    await nothingLost(primary.url, told);
    expect((await store.incidents.create(newIncident())).status).toBe('new');
    await store.close();
    expect(unexpected).toEqual([]);
  },
);

it('a server that is stopped: calls fail at once, close settles, and the store works once it is back', {
  timeout: 60_000,
}, async () => {
  const store = await opened(primary.url);
  await store.incidents.count();
  await primary.stop();
  for (const error of await Promise.all(Array.from({ length: 50 }, () => settled(store.incidents.count()))))
    expect(error).toBeInstanceOf(ConnectionError);
  const other = await opened(primary.url);
  await Promise.all(Array.from({ length: 11 }, () => settled(other.incidents.count())));
  await settled(other.close());
  await primary.start();
  expect(await settled(store.incidents.count())).toEqual(expect.any(Number));
  await store.close();
});

it('a role that has three connections: no call of 100 fails for it', { timeout: 60_000 }, async () => {
  const admin = postgres(primary.url, { max: 1, onnotice: () => {} });
  await admin.unsafe(`create role limited login superuser; alter role limited connection limit 3`).catch(() => {});
  await admin.unsafe(`alter role limited nosuperuser; grant all on all tables in schema public to limited`);
  const store = await opened(primary.url.replace('postgres@', 'limited@'), { acquireTimeoutMs: 30_000 });
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      settled<unknown>(i % 2 ? store.incidents.count() : store.incidents.create(newIncident())),
    ),
  );
  expect(outcomes.filter((outcome) => outcome instanceof Error)).toEqual([]);
  await store.close();
  await admin.end();
});

it('a commit that waits for a synchronous standby, and is cancelled, is not acknowledged', {
  timeout: 60_000,
}, async () => {
  const admin = postgres(primary.url, { max: 1, onnotice: () => {} });
  const store = await opened(primary.url, { statementTimeoutMs: 1_500 });
  const { id } = await store.incidents.create(newIncident());
  const standbys = async (names: string) => {
    await admin.unsafe(`alter system set synchronous_standby_names = '${names}'`);
    await admin.unsafe('select pg_reload_conf()');
    await expect
      .poll(async () => (await admin.unsafe('show synchronous_standby_names'))[0]?.synchronous_standby_names)
      .toBe(names);
  };
  await standbys('missing');
  try {
    const unconfirmed = { code: 'timeout', outcome: 'unknown', retryable: false };
    await expect(store.incidents.addTags(id, ['a'])).rejects.toMatchObject(unconfirmed);
  } finally {
    await standbys('');
  }
  expect((await store.incidents.addTags(id, ['b'])).tags).toContain('b');
  await store.close();
  await admin.end();
});

it('streams and the making of the search index settle when the server goes, too', { timeout: 60_000 }, async () => {
  const store = await opened(primary.url, { poolSize: 4 });
  await store.incidents.createMany(Array.from({ length: 400 }, () => newIncident()));
  const locking = postgres(primary.url, { max: 1, onnotice: () => {}, connect_timeout: 2 });
  await locking.unsafe('begin; select 1 from incidents limit 1').catch(() => {});
  const enabling = settled(store.searchIndex.enable());
  const streaming = settled(
    (async () => {
      for await (const _ of store.incidents.stream({}, { batchSize: 10 })) await sleep(5);
    })(),
  );
  await sleep(300);
  await primary.stop();
  expect(await streaming).toBeInstanceOf(StoreError);
  await enabling;
  await locking.end({ timeout: 0 });
  await primary.start();
  await settled(store.searchIndex.disable());
  expect(await settled(store.searchIndex.enable())).toMatchObject({ state: 'ready' });
  await store.searchIndex.disable();
  await store.close();
});

it('several hosts: writes go to the primary, follow a promotion, and each role is found', {
  timeout: 120_000,
}, async () => {
  const standby = await cluster.replicaOf(primary);
  const hosts = (...servers: readonly Server[]) =>
    `postgres://postgres@${servers.map(({ url }) => new URL(url).host).join(',')}/postgres`;
  const url = hosts(standby, primary); // the wrong one first
  const store = await opened(url);
  expect((await store.incidents.create(newIncident())).status).toBe('new');
  const isStandby = async (role: string) => {
    const one = await opened(`${url}?target_session_attrs=${role}`);
    try {
      const { rows } = await Reflect.get(one, 'cx').driver.exec({
        sql: 'select pg_is_in_recovery()',
        params: [],
        reads: true,
      });
      return rows[0][0];
    } finally {
      await one.close();
    }
  };
  for (const [role, expected] of [
    ['read-write', false],
    ['primary', false],
    ['standby', true],
    ['read-only', true],
    ['prefer-standby', true],
    ['any', true],
  ] as const)
    expect(await isStandby(role), role).toBe(expected);
  const alone = await opened(`${standby.url}?target_session_attrs=read-write`, { acquireTimeoutMs: 2_000 });
  expect(await settled(alone.incidents.count())).toMatchObject({
    code: 'connection',
    reason: 'wrong_role',
    retryable: true,
  });
  await alone.close();
  // a single host that is a standby can be read, and says that it only reads
  const reading = await opened(standby.url);
  expect(await reading.incidents.count()).toEqual(expect.any(Number));
  await expect(reading.incidents.create(newIncident())).rejects.toMatchObject({ code: 'read_only', retryable: true });
  await reading.close();

  await primary.stop();
  expect(await settled(store.incidents.create(newIncident()))).toBeInstanceOf(ConnectionError);
  const admin = postgres(standby.url, { max: 1, onnotice: () => {} });
  await admin`select pg_promote(true, 30)`;
  await admin.end();
  await expect
    .poll(() => store.incidents.create(newIncident()).then(({ status }) => status, String), { timeout: 30_000 })
    .toBe('new');
  await store.close();
  await standby.stop();
  await primary.start();
  expect(unexpected).toEqual([]);
});
