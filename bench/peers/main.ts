/** Our store, the raw drivers and what a user would pick instead: the same work, interleaved. See ../README.md. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { startEmbeddedServer } from '../../test/support/embedded-server.ts';
import { newIncident } from '../alerts.ts';
import { type NewAuditLog, openPostgresStore, openSqliteStore, type Store } from '../library.ts';
import type { RawDriver } from '../raw-driver.ts';
import { openRawPostgres } from '../raw-postgres.ts';
import { openRawSqlite } from '../raw-sqlite.ts';
import { seed } from '../seed.ts';
import { openDrizzle } from './drizzle.ts';
import { openKysely } from './kysely.ts';
import { openMikroOrm } from './mikro-orm.ts';
import type { Open, Peer } from './peer.ts';
import { openTypeorm } from './typeorm.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '30' },
    only: { type: 'string' },
  },
});
const WARM_UP_ROUNDS = 60;
const PEERS: readonly Open[] = [openDrizzle(true), openDrizzle(false), openKysely, openTypeorm, openMikroOrm];

const ours = (store: Store): Peer => ({
  name: '@triage-warden/db',
  getIncident: (id) => store.incidents.get(id),
  listTriage: async () =>
    (await store.incidents.list({ status: ['new', 'enriching'], severity: ['high', 'critical'] })).items,
  appendAudit: (log) => store.auditLogs.append(log),
  createIncident: (incident) => store.incidents.create(incident),
  close: () => store.close(),
});

const bare = (driver: RawDriver): Peer => ({
  name: 'raw driver',
  getIncident: async (id) => driver.getIncident(id),
  listTriage: async () => (await driver.listTriage()).items,
  appendAudit: async (log) => driver.appendAudit(log),
  createIncident: async (incident) => driver.createIncident(incident),
  close: async () => driver.close(),
});

for (const name of ['sqlite', 'postgres'] as const) if ((values.only ?? name) === name) await run(name);
coldImports();

async function run(name: 'sqlite' | 'postgres'): Promise<void> {
  const undo: (() => unknown)[] = [];
  let url: string;
  if (name === 'sqlite') {
    const folder = mkdtempSync(join(tmpdir(), 'tw-peers-'));
    undo.push(() => rmSync(folder, { recursive: true, force: true }));
    url = `sqlite:${join(folder, 'peers.db')}`;
  } else {
    const server = await startEmbeddedServer(['-c', 'fsync=on']);
    undo.push(server.stop);
    url = server.url;
  }
  const store = name === 'sqlite' ? await openSqliteStore(url) : await openPostgresStore(url, { poolSize: 10 });
  const ids = await seed(store, Number(values.rows));
  if (name === 'postgres') {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    await sql`vacuum analyze`;
    await sql.end();
  }
  const raw = name === 'sqlite' ? openRawSqlite(url.slice('sqlite:'.length)) : openRawPostgres(url, 10);
  const peers = [bare(raw), ours(store)];
  for (const open of PEERS) peers.push(await open(url));
  const id = (index: number) => ids[index % ids.length] as string;
  const log = (index: number): NewAuditLog => ({
    incidentId: id(index),
    action: 'comment_added',
    details: { seen: index },
  });
  const operations: readonly [string, number, (peer: Peer, index: number) => Promise<unknown>][] = [
    ['point read', 50, (peer, i) => peer.getIncident(id(i))],
    ['filtered list of 50', 10, (peer) => peer.listTriage()],
    ['insert', 15, (peer, i) => peer.appendAudit(log(i))],
    ['incident + audit', 15, (peer, i) => peer.createIncident(newIncident(i))],
  ];
  console.log(
    `\n${name}, ${values.rows} incidents, ${Number(values.rounds)} rounds: median time, and its ratio to the raw driver`,
  );
  for (const [what, times, work] of operations) {
    const took = new Map<Peer, number[]>(peers.map((peer) => [peer, []]));
    // Node compiles what runs often: without these rounds, the side with more code of its own is measured half compiled
    for (let round = -WARM_UP_ROUNDS; round < Number(values.rounds); round++)
      for (let k = 0; k < peers.length; k++) {
        const peer = peers[(k + Math.abs(round)) % peers.length] as Peer; // each begins in turn
        const start = performance.now();
        for (let i = 0; i < times; i++) await work(peer, Math.abs(round) * times + i);
        if (round >= 0) took.get(peer)?.push((performance.now() - start) / times);
      }
    const median = (peer: Peer) => {
      const sorted = (took.get(peer) ?? []).toSorted((a, b) => a - b);
      return sorted[Math.floor(sorted.length / 2)] as number;
    };
    const base = median(peers[0] as Peer);
    console.log(what);
    for (const peer of peers.toSorted((a, b) => median(a) - median(b)))
      console.log(
        `  ${peer.name.padEnd(20)} ${(median(peer) * 1000).toFixed(1).padStart(9)} µs  ${(median(peer) / base).toFixed(2)}`,
      );
  }
  for (const peer of peers) await peer.close();
  for (const step of undo.toReversed()) await step();
}

/** A new process each: how long the import takes, and the memory after it. */
function coldImports(): void {
  const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
  const imports = {
    '@triage-warden/db, SQLite': [`${dist}index.js`, `${dist}sqlite/open.js`, 'better-sqlite3'],
    '@triage-warden/db, PostgreSQL': [`${dist}index.js`, `${dist}postgres/open.js`, 'postgres'],
    'Drizzle, SQLite': ['drizzle-orm', 'drizzle-orm/better-sqlite3', 'better-sqlite3'],
    Kysely: ['kysely', 'better-sqlite3'],
    TypeORM: ['typeorm', 'better-sqlite3'],
    MikroORM: ['@mikro-orm/core', '@mikro-orm/sqlite'],
  };
  console.log('\ncold import, median of 7 processes, and memory (RSS) after it');
  for (const [name, modules] of Object.entries(imports)) {
    const script = `const t = performance.now(); for (const m of ${JSON.stringify(modules)}) await import(m); console.log(performance.now() - t, process.memoryUsage.rss() / 2 ** 20)`;
    const runs = Array.from({ length: 7 }, () =>
      execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        cwd: import.meta.dirname,
        encoding: 'utf8',
      })
        .split(' ')
        .map(Number),
    ).toSorted((a, b) => (a[0] as number) - (b[0] as number));
    const [ms, rss] = runs[3] as [number, number];
    console.log(`  ${name.padEnd(32)} ${ms.toFixed(0).padStart(5)} ms  ${rss.toFixed(0).padStart(4)} MiB`);
  }
}
