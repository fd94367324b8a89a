/**
 * The pool of PostgreSQL's connections against the driver's own, and against an earlier build of ours, all interleaved in one run: point reads and
 * audited writes by 1 to 1,000 callers, and point reads beside writers that wait for a lock. See ../README.md.
 */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { startEmbeddedServer } from '../../test/support/embedded-server.ts';
import { newIncident } from '../alerts.ts';
import { openPostgresStore, type Store } from '../library.ts';
import { openRawPostgres } from '../raw-postgres.ts';
import { seed } from '../seed.ts';

const POOL_SIZE = 10;
const CALLERS = [1, 10, 100, 1000] as const;
const BLOCKED = [9, 10] as const;
/** Reads beside blocked writers, and how long they are waited for. */
const READS = 100;
const PATIENCE_MS = 3_000;

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '40' },
    /** A folder with an earlier build: its `dist`. */
    baseline: { type: 'string' },
  },
});
const rounds = Number(options.rounds);

/** What is compared: the same two operations by each. */
interface Side {
  readonly name: string;
  readonly read: (id: string) => Promise<unknown>;
  readonly write: (n: number) => Promise<unknown>;
  /** Changes one incident: waits while another connection has locked it. */
  readonly touch: (id: string) => Promise<unknown>;
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const percentile = (values: readonly number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const given = process.env.TEST_POSTGRES_URL;
const server = given ? { url: given, stop: async () => {} } : await startEmbeddedServer(['-c', 'fsync=on']);
const database = `tw_bench_${randomBytes(4).toString('hex')}`;
const admin = postgres(server.url, { max: 1, onnotice: () => {} });
await admin.unsafe(`create database "${database}"`);
const url = new URL(server.url);
url.pathname = `/${database}`;
const stores: Store[] = [];
try {
  await run();
} finally {
  for (const store of stores) await store.close();
  await admin.unsafe(`drop database "${database}" with (force)`);
  await admin.end();
  await server.stop();
}

async function run(): Promise<void> {
  const ours = await openPostgresStore(url.href, { poolSize: POOL_SIZE });
  stores.push(ours);
  const sides = [sideOf('ours', ours)];
  if (options.baseline) {
    const built = pathToFileURL(resolve(options.baseline, 'postgres/open.js')).href;
    const earlier = (await import(built)) as { openPostgresStore(url: string, how: object): Promise<Store> };
    const before = await earlier.openPostgresStore(url.href, { poolSize: POOL_SIZE, migrations: 'off' });
    stores.push(before);
    sides.push(sideOf('before', before));
  }
  const raw = openRawPostgres(url.href, POOL_SIZE);
  sides.push({
    name: 'raw',
    read: async (id) => raw.getIncident(id),
    write: async (n) => raw.createIncident(newIncident(n)),
    touch: async (id) => {
      const { status } = await ours.incidents.get(id); // by a pool that is not measured here
      return raw.transition(id, { from: status, to: status });
    },
  });
  const ids = await seed(ours, Number(options.rows));
  await beside(sides, ids);
  for (const callers of CALLERS)
    await compare(`point read, ${callers} callers`, sides, callers, (side, n) =>
      side.read(ids[n % ids.length] as string),
    );
  for (const callers of CALLERS)
    await compare(`audited write, ${callers} callers`, sides, callers, (side, n) => side.write(n));
  await raw.close();
}

function sideOf(name: string, store: Store): Side {
  return {
    name,
    read: (id) => store.incidents.get(id),
    write: (n) => store.incidents.create(newIncident(n)),
    touch: (id) => store.incidents.addTags(id, ['touched']),
  };
}

/** Callers that make one call after the other: the mean time of a call's turn, that is of a round divided by its calls. */
async function compare(
  name: string,
  sides: readonly Side[],
  callers: number,
  call: (side: Side, n: number) => Promise<unknown>,
) {
  const calls = Math.max(callers, name.startsWith('point') ? 200 : 60);
  const times = new Map(sides.map(({ name: side }) => [side, [] as number[]]));
  let n = 0;
  const most = callers >= 1000 ? Math.ceil(rounds / 4) : rounds;
  for (let round = -3; round < most; round++)
    for (const side of round % 2 ? sides : sides.toReversed()) {
      let left = calls;
      const start = performance.now();
      await Promise.all(
        Array.from({ length: callers }, async () => {
          while (left-- > 0) await call(side, n++);
        }),
      );
      if (round >= 0) times.get(side.name)?.push((performance.now() - start) / calls);
    }
  const mine = times.get('ours') ?? [];
  const others = sides.slice(1).map(({ name: other }) => {
    // pair by pair: what disturbs the machine disturbs both
    const ratios = (times.get(other) ?? []).map((theirs, i) => (mine[i] as number) / theirs);
    return `ours/${other} ${median(ratios).toFixed(2)}`;
  });
  const each = sides.map(({ name: side }) => `${side} ${(1000 * median(times.get(side) ?? [])).toFixed(0)} µs`);
  console.log(`${name.padEnd(28)} ${each.join(', ')}; ${others.join(', ')}`);
}

/** Reads while so many writers of the same pool wait for a lock that another connection holds. */
async function beside(sides: readonly Side[], ids: readonly string[]): Promise<void> {
  const locking = postgres(url.href, { max: 1, onnotice: () => {} });
  for (const blocked of BLOCKED)
    for (const side of sides) {
      const [locked = ''] = ids;
      await Promise.all(Array.from({ length: 200 }, (_, n) => side.read(ids[n % ids.length] as string))); // connected, and warm
      const done: number[] = [];
      let writing: Promise<unknown> = Promise.resolve();
      await locking.begin(async (tx) => {
        await tx`select 1 from incidents where id = ${locked} for update`;
        writing = Promise.allSettled(Array.from({ length: blocked }, () => side.touch(locked)));
        await new Promise((go) => setTimeout(go, 200));
        const reading = Promise.all(
          Array.from({ length: READS }, async (_, n) => {
            const start = performance.now();
            await side.read(ids[(n + 1) % ids.length] as string);
            done.push(performance.now() - start);
          }),
        );
        await Promise.race([reading, new Promise((go) => setTimeout(go, PATIENCE_MS))]);
        console.log(
          `${side.name.padEnd(7)} ${READS} reads beside ${blocked} blocked writers: ${done.length} done in 3 s, p99 ${done.length ? percentile(done, 0.99).toFixed(1) : '–'} ms`,
        );
      });
      await writing;
    }
  await locking.end();
}
