import { migrations } from 'migrations:sqlite';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type Sqlite from 'better-sqlite3';
import { backoff } from '../driver/retry.ts';
import { ConfigurationError, ConnectionError, DriverMissingError, StoreError } from '../errors.ts';
import { Migrator } from '../migrations/migrator.ts';
import type { JsonSchemas, NoSchemas } from '../model/schema.ts';
import { parseOptions, type SqliteOptions, settingsOf, sqliteOptions } from '../options.ts';
import { Store } from '../store.ts';
import { dialect } from './dialect.ts';
import { SqliteConnection, type SqliteConnectionOptions } from './driver.ts';
import { classify, isBusy } from './errors.ts';
import { migrationTarget } from './migrations.ts';
import { parseSqliteUrl, type SqliteTarget } from './url.ts';
import { WAL_LIMIT_BYTES } from './wal.ts';

export type { SqliteOptions } from '../options.ts';
export type { Store } from '../store.ts';

/**
 * Opens a SQLite store: a file, made with its folder when it is missing, for its owner alone (0600, 0700), or `:memory:`.
 *
 * @example
 * const store = await openSqliteStore('sqlite:data/triage.db')
 *
 * @throws ConfigurationError, DriverMissingError, ConnectionError, MigrationError.
 */
export async function openSqliteStore<const J extends JsonSchemas = NoSchemas>(
  url: string,
  options: SqliteOptions<J> = {},
): Promise<Store<J>> {
  const { migrations: how, ...rest } = parseOptions(sqliteOptions, options);
  const settings = settingsOf({ migrations: how, ...rest });
  const target = parseSqliteUrl(url);
  const connection = await connect(await load(), target, rest);
  const migrator = new Migrator(migrationTarget(connection), migrations);
  const store = new Store<J>({ connection, dialect, migrator, settings });
  try {
    if (how === 'auto' && target.mode !== 'ro') await migrator.migrate();
    else if (how !== 'off') await migrator.verify();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

async function load(): Promise<typeof Sqlite> {
  try {
    return (await import('better-sqlite3')).default;
  } catch (error) {
    if (error instanceof Error && 'code' in error && /MODULE_NOT_FOUND/.test(String(error.code)))
      throw new DriverMissingError('better-sqlite3');
    throw error;
  }
}

/** What readers may keep of the file in memory: SQLite's 2 MB hold no more than a page of incidents. */
const READER_CACHE_KIB = 32_768;
/** What a writer may: all of it may have to be written, and flushed, in one commit. */
const WRITER_CACHE_KIB = 4096;

interface ConnectOptions extends SqliteConnectionOptions {
  readonly durability: 'power-loss' | 'process';
}

async function connect(
  Database: typeof Sqlite,
  { file: given, mode }: SqliteTarget,
  options: ConnectOptions,
): Promise<SqliteConnection> {
  const { durability, busyTimeoutMs } = options;
  const inMemory = given === ':memory:';
  const file = inMemory ? given : resolve(given); // a thread opens it later, when the process may be in another folder
  let opened: Sqlite.Database | undefined;
  try {
    if (mode === 'rwc' && !inMemory) makePrivate(file);
    const writer = new Database(file, { timeout: 0, readonly: mode === 'ro', fileMustExist: mode !== 'rwc' });
    opened = writer;
    await patiently(busyTimeoutMs, () => configure(writer, { inMemory, mode, durability }));
    const reader = inMemory || mode === 'ro' ? undefined : new Database(file, { timeout: 0, readonly: true });
    writer.pragma(`cache_size = -${reader ? WRITER_CACHE_KIB : READER_CACHE_KIB}`);
    reader?.pragma(`cache_size = -${READER_CACHE_KIB}`);
    return new SqliteConnection(writer, reader, options);
  } catch (error) {
    opened?.close();
    // without a code of SQLite's: the folder is missing, or may not be made
    throw error instanceof Database.SqliteError || error instanceof StoreError
      ? classify(error)
      : new ConnectionError('file', { cause: error });
  }
}

/**
 * Makes the file, and its folder, where they are missing: for their owner alone, since sessions and password hashes stand in it. SQLite gives
 * `-wal` and `-shm` the permissions of the file. What is there already stays as it is.
 */
function makePrivate(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    closeSync(openSync(file, 'wx', 0o600)); // an empty file is an empty database
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Sets each pragma, and makes sure that it took. */
function configure(
  database: Sqlite.Database,
  { inMemory, mode, durability }: { inMemory: boolean; mode: string; durability: ConnectOptions['durability'] },
): void {
  if (!inMemory && mode !== 'ro') {
    // a reader beside the writer
    assertPragma(database, 'journal_mode', 'wal');
    // FULL: the log reaches the disk before a commit is acknowledged; NORMAL: only before it is folded into the file
    assertPragma(database, 'journal_size_limit', WAL_LIMIT_BYTES);
    assertPragma(database, 'synchronous', durability === 'power-loss' ? 2 : 1);
    // macOS: fsync() alone leaves the disk's own cache
    assertPragma(database, 'fullfsync', durability === 'power-loss' ? 1 : 0);
    assertPragma(database, 'checkpoint_fullfsync', durability === 'power-loss' ? 1 : 0);
  }
  assertPragma(database, 'foreign_keys', 1);
}

function assertPragma(database: Sqlite.Database, name: string, value: string | number): void {
  database.pragma(`${name} = ${value}`);
  const actual = database.pragma(name, { simple: true });
  if (actual !== value)
    throw new ConfigurationError(
      `SQLite: ${name} is ${String(actual)}, and could not be set to ${value} for this file`,
    );
}

/** Another process may be opening, or closing, the same file. */
async function patiently(limitMs: number, step: () => void): Promise<void> {
  const end = performance.now() + limitMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return step();
    } catch (error) {
      if (!isBusy(error) || performance.now() >= end) throw error;
    }
    await backoff(attempt, 1, 16);
  }
}
