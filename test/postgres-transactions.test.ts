/** What only PostgreSQL does: collisions of transactions, and connections that die. */
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConnectionError, SerializationError } from '../src/index.ts';
import type { Store } from '../src/store.ts';
import { SHARED_BACKENDS, type TestDatabase } from './support/databases.ts';
import { newIncident } from './support/fixtures.ts';

const backend = SHARED_BACKENDS.find(({ dialect }) => dialect === 'postgres');

describe('PostgreSQL', () => {
  let database: TestDatabase;
  let store: Store;
  let admin: postgres.Sql;
  const unexpected: unknown[] = [];
  const note = (error: unknown) => unexpected.push(error);

  beforeAll(async () => {
    if (!backend) throw new Error('There is a PostgreSQL backend');
    database = await backend.create();
    store = await database.open();
    admin = postgres(database.url, { max: 1, onnotice: () => {} });
    process.on('unhandledRejection', note);
    process.on('uncaughtException', note);
  });
  afterAll(async () => {
    process.off('unhandledRejection', note);
    process.off('uncaughtException', note);
    await admin.end();
    await database.drop();
  });

  const killOthers = () =>
    admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;

  it('runs a transaction again when it collided, as often as `retries` says', async () => {
    // R-T9: write skew, which serializable refuses
    const [a, b] = [await store.incidents.create(newIncident()), await store.incidents.create(newIncident())];
    const collide = async (retries: number) => {
      let runs = 0;
      let arrived = 0;
      const both = new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          if (arrived < 2) return;
          clearInterval(timer);
          resolve();
        }, 1);
      });
      const work = (mine: string, theirs: string) =>
        store.transaction(
          async (tx) => {
            runs++;
            await tx.incidents.get(theirs);
            arrived++;
            await both;
            await tx.incidents.addTags(mine, [`seen with ${retries}`]);
          },
          { isolation: 'serializable', retries },
        );
      const results = await Promise.allSettled([work(a.id, b.id), work(b.id, a.id)]);
      return { runs, results };
    };
    const without = await collide(0);
    expect(without.results.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    expect(without.results.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: expect.any(SerializationError),
    });
    const withRetries = await collide(5);
    expect(withRetries.results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    expect(withRetries.runs).toBeGreaterThan(2);
  });

  it('runs a transaction again after a dead-lock', async () => {
    // R-T9: 40P01
    const [a, b] = [await store.incidents.create(newIncident()), await store.incidents.create(newIncident())];
    let holding = 0;
    const lock = (first: string, second: string) =>
      store.transaction(
        async (tx) => {
          await tx.incidents.addTags(first, ['x']);
          holding++;
          for (let i = 0; holding < 2 && i < 500; i++) await sleep(2);
          await tx.incidents.addTags(second, ['y']);
        },
        { retries: 3 },
      );
    await Promise.all([lock(a.id, b.id), lock(b.id, a.id)]);
    expect((await store.incidents.get(a.id)).tags.slice().sort()).toEqual(['x', 'y']);
  });

  it.each(['idle', 'inside a transaction', 'inside a nested one', 'caught inside'])(
    'survives a backend that is killed while %s: a typed error, and the next call works',
    async (when) => {
      // R-O3, R-E1
      const kill = async () => {
        await killOthers();
        await sleep(20); // the socket's end arrives
      };
      if (when === 'idle') {
        await store.incidents.count();
        await kill();
        await store.incidents.count().catch((error) => expect(error).toBeInstanceOf(ConnectionError));
      } else {
        const attempt = store.transaction(async (tx) => {
          await tx.incidents.create(newIncident({ tags: ['doomed'] }));
          if (when === 'inside a nested one') await tx.transaction(kill);
          else await kill();
          const next = tx.incidents.create(newIncident({ tags: ['doomed'] }));
          if (when === 'caught inside') await next.catch(() => {});
          else await next;
        });
        await expect(attempt).rejects.toBeInstanceOf(ConnectionError);
      }
      expect(await store.incidents.count({ tag: 'doomed' })).toBe(0);
      expect((await store.incidents.create(newIncident())).status).toBe('new');
      expect(unexpected).toEqual([]);
    },
  );

  it('answers right after a backend was killed in the middle of a statement: one call fails, the next one works', async () => {
    // R-O3: postgres.js keeps what it had of the lost connection, so its client is thrown away
    const single = await database.open({ poolSize: 1 });
    const { id } = await single.incidents.create(newIncident());
    for (let round = 0; round < 5; round++) {
      const active = Reflect.get(single, 'cx').driver.exec({ sql: 'select pg_sleep(10)', params: [], reads: true });
      const failed = expect(active).rejects.toBeInstanceOf(ConnectionError);
      await sleep(30);
      await killOthers();
      await failed;
      expect((await single.incidents.get(id)).id).toBe(id);
      expect(await single.incidents.count()).toBeGreaterThan(0);
    }
    await single.close();
    expect(unexpected).toEqual([]);
  });

  it('takes a network error of the callback for what it is: the callback’s own', async () => {
    const foreign = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    await store.transaction(async (tx) => {
      await expect(tx.transaction(() => Promise.reject(foreign))).rejects.toBe(foreign);
      await tx.incidents.create(newIncident());
    });
  });

  it('closes though a transaction lost its connection', async () => {
    // R-O1
    const other = await database.open({ poolSize: 2 });
    await expect(
      other.transaction(async (tx) => {
        await tx.incidents.count();
        await killOthers();
        await sleep(20);
        await tx.incidents.count();
      }),
    ).rejects.toBeInstanceOf(ConnectionError);
    await other.close();
    expect(unexpected).toEqual([]);
  });

  it('ends connections that are idle or old only while nothing is under way on them', async () => {
    if (!backend) throw new Error('There is a PostgreSQL backend');
    const pids = async (one: Store) => {
      const { rows } = await Reflect.get(one, 'cx').driver.exec({
        sql: 'select pg_backend_pid()',
        params: [],
        reads: true,
      });
      return Number(rows[0][0]);
    };
    const idle = await database.open({ poolSize: 1, idleTimeoutMs: 20, migrations: 'off' });
    const seen = new Set<number>();
    for (let pause = 18; seen.size <= 5; pause = pause === 200 ? 18 : Math.min(200, pause + 3)) {
      seen.add(await pids(idle));
      await sleep(pause);
    }
    const old = await database.open({ poolSize: 2, maxLifetimeMs: 100, migrations: 'off' });
    seen.clear();
    await Promise.all(
      Array.from({ length: 6 }, async (_, worker) => {
        while (seen.size <= 5) {
          seen.add(await pids(old));
          if (worker % 2) await old.transaction((tx) => tx.incidents.count());
          else await old.incidents.count();
        }
      }),
    );
    const open = async () => {
      const [{ n = 0 } = {}] =
        await admin`select count(*)::int as n from pg_stat_activity where datname = current_database() and pid = any(${[...seen]})`;
      return n;
    };
    await expect.poll(open, { timeout: 60_000 }).toBeLessThanOrEqual(2); // the old ones are gone
    expect(unexpected).toEqual([]);
  });
});
