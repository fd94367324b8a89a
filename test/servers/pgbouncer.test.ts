/** R-O4: behind the real PgBouncer of Debian's package, in transaction mode, with fewer server connections than clients. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPostgresStore } from '../../src/postgres/open.ts';
import { freePort } from '../support/embedded-server.ts';
import { actionsOf, newAction, newIncident, newUser, proposed } from '../support/fixtures.ts';
import { emptied, LIMITS, load, nothingLost } from './load.ts';
import { Cluster, type Server } from './postgres-15.ts';

const PROGRAM = process.env.PGBOUNCER ?? '/usr/sbin/pgbouncer';
const NOBODY = 65534;
const home = mkdtempSync(join(tmpdir(), 'tw-pgbouncer-'));
let cluster: Cluster;
let server: Server;
const bouncers: ChildProcess[] = [];
let url: string;

beforeAll(async () => {
  if (!existsSync(PROGRAM))
    throw new Error(`PgBouncer is not at ${PROGRAM}: install Debian's pgbouncer, or set PGBOUNCER`);
  cluster = new Cluster();
  server = await cluster.primary();
  if (process.getuid?.() === 0) chownSync(home, NOBODY, NOBODY);
  url = await pooled('default_pool_size = 3\nserver_reset_query =');
});

/** A PgBouncer in transaction mode, with these settings besides its defaults. Its URL. */
async function pooled(settings: string): Promise<string> {
  const port = await freePort();
  const config = join(home, `pgbouncer-${port}.ini`);
  writeFileSync(
    config,
    `[databases]
postgres = host=127.0.0.1 port=${new URL(server.url).port} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
logfile = ${join(home, `log-${port}`)}
pidfile = ${join(home, `pid-${port}`)}
${settings}
`,
  );
  const asUser = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if ('uid' in asUser) chownSync(config, NOBODY, NOBODY);
  bouncers.push(spawn(PROGRAM, [config], { ...asUser, stdio: 'ignore' }));
  const own = `postgres://postgres@127.0.0.1:${port}/postgres`;
  for (let tries = 0; !(await answers(own)); tries++) {
    if (tries > 100) throw new Error('PgBouncer does not answer');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return own;
}

async function answers(of: string): Promise<boolean> {
  const sql = postgres(of, { max: 1, onnotice: () => {}, prepare: false });
  try {
    return (await sql.unsafe('select 1')).length === 1;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

afterAll(async () => {
  for (const bouncer of bouncers) {
    if (bouncer.exitCode !== null) continue;
    const ended = new Promise((resolve) => bouncer.once('exit', resolve));
    bouncer.kill('SIGKILL');
    await ended;
  }
  await cluster?.stop();
  rmSync(home, { recursive: true, force: true });
});

it('migrates, reads, writes, transacts and claims, with 12 clients on 3 connections, and leaves no statement behind', async () => {
  const store = await openPostgresStore(url, { prepare: false, poolSize: 12 });
  const ids = await Promise.all(
    Array.from({ length: 60 }, async () => (await store.incidents.create(newIncident())).id),
  );
  await Promise.all(
    ids.map((id) =>
      store.as('alice').transaction(async (tx) => {
        await tx.incidents.transition(id, { from: 'new', to: 'enriching' });
        await tx.transaction((inner) => inner.incidents.addTags(id, ['nested']));
        const action = await tx.actions.propose(newAction(id));
        await tx.actions.approve(action.id);
      }),
    ),
  );
  for (const id of ids.slice(0, 5))
    expect(await actionsOf(store, id)).toEqual([
      'incident_created',
      'status_changed',
      'tags_added',
      'action_proposed',
      'action_approved',
    ]);
  const claims = await Promise.all(
    Array.from({ length: 8 }, (_, i) => store.actions.claim({ worker: `w${i}`, limit: 20 })),
  );
  expect(new Set(claims.flat().map(({ id }) => id)).size).toBe(60);
  expect(claims.flat()).toHaveLength(60);
  await expect(
    store.transaction(async (tx) => {
      await tx.incidents.setTicket(ids[0] as string, 'T');
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect((await store.incidents.get(ids[0] as string)).ticketId).toBeNull();
  const times = await Promise.all(ids.map(async (id) => (await store.incidents.get(id)).createdAt.getTime()));
  expect(times.every((time) => Math.abs(time - Date.now()) < 120_000)).toBe(true); // UTC, on whichever connection
  expect(await store.incidents.createMany(Array.from({ length: 2500 }, () => newIncident()))).toHaveLength(2500);
  const user = await store.users.create(newUser({ role: 'admin' }));
  await expect(store.users.delete(user.id)).rejects.toMatchObject({ code: 'conflict' });
  expect((await proposed(store)).approvalStatus).toBe('pending');
  await store.close();

  // on every connection of the pooler to the server
  const sql = postgres(url, { max: 3, onnotice: () => {}, prepare: false });
  const left = await Promise.all(
    Array.from({ length: 12 }, () =>
      sql.unsafe('select count(*)::int as n from pg_prepared_statements, pg_sleep(0.02)'),
    ),
  );
  expect(left.map(([row]) => row?.n)).toEqual(left.map(() => 0));
  await sql.end();
});

it.each(['restarted', 'frozen'] as const)(
  'with all its defaults, before a server that is %s under 100 callers: all settle, nothing is lost, the next call works',
  { timeout: 180_000 },
  async (how) => {
    // F-H1, F-H2
    const own = await pooled('');
    const store = await openPostgresStore(own, { prepare: false, poolSize: 10, ...LIMITS });
    await emptied(server.url);
    const { acknowledged, errors, end } = load(store);
    const goesOn = async () => {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, { timeout: 90_000 }).toBeGreaterThan(before + 100);
    };
    await goesOn();
    if (how === 'restarted') {
      await server.stop();
      await new Promise((resolve) => setTimeout(resolve, 300));
      await server.start();
    } else {
      server.freeze();
      await expect.poll(() => errors.length, { timeout: 30_000 }).toBeGreaterThan(20);
      server.thaw();
    }
    await goesOn(); // PgBouncer tries its server again after 15 s
    await nothingLost(server.url, await end());
    expect(errors.length).toBeGreaterThan(0);
    await store.close();
  },
);
