import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import postgres from 'postgres';
import { startEmbeddedServer } from '../test/support/embedded-server.ts';
import { openPostgresStore, openSqliteStore, type Store } from './library.ts';
import type { RawDriver } from './raw-driver.ts';
import { openRawPostgres } from './raw-postgres.ts';
import { openRawSqlite } from './raw-sqlite.ts';

/** One database with both sides open on it. */
export interface Subject {
  readonly title: string;
  readonly ours: Store;
  readonly raw: RawDriver;
  /** Runs SQL beside both; rows as objects. */
  sql(text: string): Promise<readonly Record<string, unknown>[]>;
  /** Folds in what seeding has left behind, so that it is not done while something is measured. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export type SubjectName = 'sqlite' | 'postgres';

const POOL_SIZE = 10;

export const openSubject: Readonly<Record<SubjectName, () => Promise<Subject>>> = {
  sqlite: openSqlite,
  postgres: openPostgres,
};

async function openSqlite(): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), 'tw-bench-'));
  const file = join(folder, 'bench.db');
  const ours = await openSqliteStore(`sqlite:${file}`);
  const raw = openRawSqlite(file);
  return {
    title: 'SQLite, a file',
    ours,
    raw,
    async sql(text) {
      const database = new Database(file);
      try {
        database.pragma('synchronous = OFF');
        const statement = database.prepare<[], Record<string, unknown>>(text);
        if (statement.reader) return statement.all();
        statement.run();
        return [];
      } finally {
        database.close();
      }
    },
    async settle() {
      const database = new Database(file);
      database.pragma('wal_checkpoint(TRUNCATE)');
      database.close();
    },
    async close() {
      await raw.close();
      await ours.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function openPostgres(): Promise<Subject> {
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const server = await startServer();
    undo.push(server.stop);
    const database = `tw_bench_${randomBytes(4).toString('hex')}`;
    await administer(server.url, (admin) => admin.unsafe(`create database "${database}"`));
    undo.push(() => administer(server.url, (admin) => admin.unsafe(`drop database "${database}" with (force)`)));
    const url = new URL(server.url);
    url.pathname = `/${database}`;
    const ours = await openPostgresStore(url.href, { poolSize: POOL_SIZE });
    undo.push(() => ours.close());
    const raw = openRawPostgres(url.href, POOL_SIZE);
    undo.push(async () => raw.close());
    return {
      title: `PostgreSQL, ${server.name}`,
      ours,
      raw,
      sql: (text) => administer(url.href, async (admin) => [...(await admin.unsafe(text))]),
      settle: () => administer(url.href, settlePostgres),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function settlePostgres(admin: postgres.Sql): Promise<void> {
  await admin`vacuum analyze`;
  await admin`checkpoint`;
}

async function startServer(): Promise<{ name: string; url: string; stop(): Promise<void> }> {
  const url = process.env.TEST_POSTGRES_URL;
  if (url) return { name: 'TEST_POSTGRES_URL', url, stop: async () => {} };
  // commits wait for the disk, as in production
  const { url: embedded, stop } = await startEmbeddedServer(['-c', 'fsync=on']);
  return { name: 'embedded-postgres', url: embedded, stop };
}

async function administer<T>(url: string, work: (admin: postgres.Sql) => Promise<T>): Promise<T> {
  const admin = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
