/** Reads on streaming replicas, of a real primary with real replicas made by pg_basebackup. */
import postgres from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openStore } from '../../src/index.ts';
import { openPostgresStore } from '../../src/postgres/open.ts';
import type { Store } from '../../src/store.ts';
import { newIncident, newUser } from '../support/fixtures.ts';
import { Cluster, type Server } from './postgres-15.ts';

let cluster: Cluster;
let primary: Server;
let replicas: Server[];
let store: Store;
const admins: postgres.Sql[] = [];

beforeAll(async () => {
  cluster = new Cluster();
  primary = await cluster.primary();
  await (await openPostgresStore(primary.url)).close(); // migrated
  replicas = [await cluster.replicaOf(primary), await cluster.replicaOf(primary)];
  store = await openPostgresStore(primary.url, { replicas: replicas.map(({ url }) => url), poolSize: 3 });
  for (const { url } of [primary, ...replicas]) admins.push(postgres(url, { max: 1, onnotice: () => {} }));
});

afterAll(async () => {
  await store?.close();
  for (const admin of admins) await admin.end({ timeout: 1 });
  await cluster?.stop();
});

/** Waits until every replica has replayed what the primary has written. */
async function caughtUp() {
  const [admin] = admins as [postgres.Sql];
  await expect
    .poll(
      async () => {
        const rows =
          await admin`select bool_and(replay_lsn = pg_current_wal_lsn()) as all, count(*) as n from pg_stat_replication`;
        return rows[0]?.all === true && Number(rows[0]?.n) === replicas.length;
      },
      { timeout: 30_000 },
    )
    .toBe(true);
}

/** Statements on incidents that each server was sent by stores. */
const readsOf = async (admin: postgres.Sql) => {
  const rows =
    await admin`select coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::int as n from pg_stat_user_tables where relname = 'incidents'`;
  return Number(rows[0]?.n);
};

it('reads from replicas in turn, and writes to the primary', async () => {
  const { id } = await store.incidents.create(newIncident({ tags: ['replicated'] }));
  await caughtUp();
  const before = await Promise.all(admins.map(readsOf));
  for (let i = 0; i < 40; i++) expect((await store.incidents.get(id)).tags).toEqual(['replicated']);
  const more = async () => (await Promise.all(admins.map(readsOf))).map((n, i) => n - (before[i] as number));
  await expect.poll(async () => (await more()).slice(1), { timeout: 15_000 }).toEqual([20, 20]);
  expect((await more())[0]).toBeLessThan(5); // but for the foreign key of the audit row, which is told late
  expect(await store.incidents.count({ tag: 'replicated' })).toBe(1);
});

it('sees its own writes on `primary`, in transactions, and wherever access hangs on it, however far replicas lag', async () => {
  for (const admin of admins.slice(1)) await admin`select pg_wal_replay_pause()`;
  try {
    const { id } = await store.incidents.create(newIncident());
    expect(await store.incidents.find(id)).toBeNull(); // it lags
    expect((await store.primary.incidents.get(id)).id).toBe(id);
    expect((await store.primary.as('alice').incidents.get(id)).id).toBe(id);
    await store.transaction(async (tx) => expect((await tx.incidents.get(id)).id).toBe(id));
    await store.incidents.transition(id, { from: 'new', to: 'enriching' });
    await expect(store.incidents.transition(id, { from: 'new', to: 'closed' })).rejects.toMatchObject({
      code: 'conflict',
    });

    const user = await store.users.create(newUser());
    expect((await store.users.credentials(user.username))?.id).toBe(user.id);
    expect((await store.users.recordLogin(user.id, new Date())).lastLoginAt).not.toBeNull();
    expect((await store.users.recordLogin(user.id, new Date(0))).id).toBe(user.id); // nothing to be done: read back
    const { token, key } = await store.apiKeys.issue({ userId: user.id, name: 'k' });
    expect(await store.apiKeys.verify(token)).not.toBeNull();
    await store.apiKeys.revoke(key.id);
    expect(await store.apiKeys.verify(token)).toBeNull();
    await store.sessions.create({ id: 's', data: Uint8Array.of(1), expiryDate: new Date(Date.now() + 60_000) });
    expect(await store.sessions.load('s')).not.toBeNull();
    await store.sessions.delete('s');
    expect(await store.sessions.load('s')).toBeNull();
    await store.settings.set('general', { org_name: 'Told the primary', timezone: 'UTC', mode: 'supervised' });
    expect((await store.settings.get('general')).org_name).toBe('Told the primary');
    await store.policies.create({ name: 'no wait', condition: 'severity == critical', action: 'deny' });
    expect((await store.policies.listEnabled()).map(({ name }) => name)).toContain('no wait');
    await expect(store.transaction(async () => void (await store.primary.incidents.get(id)))).rejects.toMatchObject({
      code: 'transaction_scope',
    });
  } finally {
    for (const admin of admins.slice(1)) await admin`select pg_wal_replay_resume()`;
  }
});

it('does without a replica that is gone, and takes it again when it is back', async () => {
  const { id } = await store.incidents.create(newIncident());
  await caughtUp();
  const [, lost] = replicas as [Server, Server];
  await lost.stop();
  for (let i = 0; i < 20; i++) expect((await store.incidents.get(id)).id).toBe(id); // no error reaches the caller
  await (replicas[0] as Server).stop();
  for (let i = 0; i < 20; i++) expect((await store.incidents.get(id)).id).toBe(id); // from the primary
  for (const replica of replicas) await replica.start();
  await caughtUp();
  // what their connections, all new since they were started, were asked last
  const used = async () => {
    for (let i = 0; i < 4; i++) await store.incidents.get(id);
    return Promise.all(
      admins.slice(1).map(async (admin) => {
        const rows =
          await admin`select 1 from pg_stat_activity where application_name = 'triage-warden' and query like '%"incidents"%'`;
        return rows.length > 0;
      }),
    );
  };
  await expect.poll(used, { timeout: 40_000, interval: 250 }).toEqual([true, true]);
});

it('does without a replica that accepts connections and stays silent', { timeout: 60_000 }, async () => {
  const { id } = await store.incidents.create(newIncident());
  await caughtUp();
  const [silent] = replicas as [Server];
  silent.freeze();
  try {
    // reads that were sent to it are answered elsewhere once it is found silent
    const reads = await Promise.all(Array.from({ length: 20 }, () => store.incidents.get(id)));
    expect(reads.every((incident) => incident.id === id)).toBe(true);
    const start = performance.now();
    for (let i = 0; i < 20; i++) expect((await store.incidents.get(id)).id).toBe(id);
    expect(performance.now() - start).toBeLessThan(5_000); // nobody waits for it any more
    const other = await openPostgresStore(primary.url, { replicas: [silent.url] });
    const read = other.incidents.get(id);
    expect((await read).id).toBe(id);
    await other.close();
  } finally {
    silent.thaw();
  }
});

it('streams from one replica, and goes on from the primary when that is lost', async () => {
  const [first, second] = replicas as [Server, Server];
  await store.incidents.createMany(Array.from({ length: 30 }, () => newIncident({ tags: ['steady'] })));
  await caughtUp();
  const [, ahead, behind] = admins as [postgres.Sql, postgres.Sql, postgres.Sql];
  await behind`select pg_wal_replay_pause()`; // the second one lags from now on
  const until = async (holds: () => Promise<boolean>) => {
    while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await until(async () => (await behind`select pg_get_wal_replay_pause_state() as state`)[0]?.state === 'paused');
  try {
    await store.incidents.createMany(Array.from({ length: 30 }, () => newIncident({ tags: ['steady'] })));
    await until(
      async () => (await ahead`select count(*)::int as n from incidents where tags @> '["steady"]'`)[0]?.n === 60,
    );
    const counts = await Promise.all(
      [0, 1].map(async () => {
        const seen: string[] = [];
        for await (const { id } of store.incidents.stream({ tag: 'steady' }, { sort: 'oldest', batchSize: 7 })) {
          seen.push(id);
        }
        expect(new Set(seen).size).toBe(seen.length); // none twice
        return seen.length;
      }),
    );
    expect(counts.toSorted((a, b) => a - b)).toEqual([30, 60]); // each is what one replica knows
    let met = 0;
    for await (const _ of store.incidents.stream({ tag: 'steady' }, { sort: 'oldest', batchSize: 5 })) {
      met++;
      if (met === 12) for (const replica of [first, second]) await replica.stop();
    }
    expect(met).toBe(60); // the primary has them all
  } finally {
    for (const replica of [first, second]) {
      await replica.stop();
      await replica.start();
    }
  }
});

it('lets a process end although a replica is gone, and refuses replicas where they make no sense', async () => {
  const [one] = replicas as [Server];
  await one.stop();
  const other = await openPostgresStore(primary.url, { replicas: [one.url] });
  expect(await other.incidents.count()).toBeGreaterThan(0);
  await other.close();
  await one.start();
  await expect(openStore('sqlite::memory:', { replicas: [one.url] } as never)).rejects.toMatchObject({
    code: 'configuration',
  });
  await expect(openPostgresStore(primary.url, { replicas: ['mysql://x'] })).rejects.toMatchObject({
    code: 'configuration',
  });
});
