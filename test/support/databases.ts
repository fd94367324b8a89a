/** The databases that the contract suite runs over, each new for every test file, with a way in behind the store's back. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import postgres from 'postgres';
import { inject } from 'vitest';
import type { PostgresOptions, SqliteOptions } from '../../src/index.ts';
import { openPostgresStore } from '../../src/postgres/open.ts';
import { openSqliteStore } from '../../src/sqlite/open.ts';
import type { Store } from '../../src/store.ts';

export type Options = SqliteOptions & PostgresOptions;

/** One database, and how to look at it without the library. */
export interface TestDatabase {
  readonly url: string;
  /** Opens a store on it; closed with the database, or before. */
  open(options?: Options): Promise<Store>;
  /** Runs SQL on a connection of its own. Rows as objects, JSON as text. */
  raw(sql: string): Promise<readonly Record<string, unknown>[]>;
  drop(): Promise<void>;
}

export interface Backend {
  readonly name: string;
  readonly dialect: 'sqlite' | 'postgres';
  /** Other connections, and so `raw` and other processes, can reach it. */
  readonly shared: boolean;
  /** @param empty without the schema */
  create(how?: { empty?: boolean }): Promise<TestDatabase>;
}

const untilDropped = (open: (options: Options) => Promise<Store>) => {
  const stores: Store[] = [];
  return {
    open: async (options: Options = {}) => {
      const store = await open(options);
      stores.push(store);
      return store;
    },
    closeAll: async () => {
      await Promise.all(stores.map((store) => store.close()));
    },
  };
};

const sqliteFile: Backend = {
  name: 'SQLite file',
  dialect: 'sqlite',
  shared: true,
  async create({ empty = false } = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'tw-sqlite-'));
    const file = join(folder, 'test.db');
    const url = `sqlite:${file}`;
    const { open, closeAll } = untilDropped((options) => openSqliteStore(url, options));
    if (!empty) await (await openSqliteStore(url)).close();
    return {
      url,
      open,
      async raw(sql) {
        const database = new Database(file);
        try {
          database.pragma('foreign_keys = ON');
          const statement = database.prepare<[], Record<string, unknown>>(sql);
          if (statement.reader) return statement.all();
          statement.run();
          return [];
        } finally {
          database.close();
        }
      },
      async drop() {
        await closeAll();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
};

const sqliteMemory: Backend = {
  name: 'SQLite :memory:',
  dialect: 'sqlite',
  shared: false,
  async create() {
    const { open, closeAll } = untilDropped((options) => openSqliteStore('sqlite::memory:', options));
    return {
      url: 'sqlite::memory:',
      open,
      raw: () => Promise.reject(new Error('A :memory: database has no second connection')),
      drop: closeAll,
    };
  },
};

let template: Promise<string> | undefined;

/** Migrated once per worker; a clone takes milliseconds. */
async function migratedTemplate(admin: postgres.Sql): Promise<string> {
  template ??= (async () => {
    const name = `${inject('postgresPrefix')}_template_${randomBytes(4).toString('hex')}`;
    await admin.unsafe(`create database "${name}"`);
    await (await openPostgresStore(databaseUrl(name))).close();
    return name;
  })();
  return template;
}

export function databaseUrl(name: string): string {
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  return url.href;
}

const postgresServer: Backend = {
  name: 'PostgreSQL',
  dialect: 'postgres',
  shared: true,
  async create({ empty = false } = {}) {
    const admin = postgres(inject('postgresUrl'), { max: 1, onnotice: () => {} });
    const name = `${inject('postgresPrefix')}_${randomBytes(6).toString('hex')}`;
    const from = empty ? '' : ` template "${await migratedTemplate(admin)}"`;
    await admin.unsafe(`create database "${name}"${from}`);
    await admin.end();
    const url = databaseUrl(name);
    const { open, closeAll } = untilDropped((options) => openPostgresStore(url, { poolSize: 4, ...options }));
    const text = (value: string) => value;
    const sql = postgres(url, {
      max: 1,
      onnotice: () => {},
      types: {
        jsonb: { to: 3802, from: [3802], serialize: text, parse: text },
        timestamp: { to: 1184, from: [1184], serialize: text, parse: text },
      },
    });
    return {
      url,
      open,
      raw: async (statement) => [...(await sql.unsafe(statement))],
      async drop() {
        await closeAll();
        await sql.end();
      },
    };
  },
};

export const BACKENDS: readonly Backend[] = [sqliteFile, sqliteMemory, postgresServer];

/** Those that other connections and processes can reach. */
export const SHARED_BACKENDS: readonly Backend[] = [sqliteFile, postgresServer];
