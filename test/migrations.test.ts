import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readMigrations } from '../build/embed-migrations.ts';
import { MigrationError, type MigrationProblem } from '../src/index.ts';
import { type Migration, Migrator } from '../src/migrations/migrator.ts';
import { parseOptions, postgresOptions, sqliteOptions } from '../src/options.ts';
import { type Backend, SHARED_BACKENDS, type TestDatabase } from './support/databases.ts';
import { newIncident, proposed } from './support/fixtures.ts';
import { MIGRATIONS } from './support/migrations.ts';

const ROOT = new URL('..', import.meta.url).pathname;

const migration = (name: string, when: number, ...statements: string[]): Migration => ({
  name,
  when,
  statements,
  hash: createHash('sha256').update(statements.join('\n')).digest('hex'),
});

/** A migrator over a database of its own, with migrations of the test's. */
async function migratorOf(backend: Backend, database: TestDatabase, migrations: readonly Migration[]) {
  if (backend.dialect === 'sqlite') {
    const [{ default: Database }, { SqliteConnection }, { migrationTarget }] = await Promise.all([
      import('better-sqlite3'),
      import('../src/sqlite/driver.ts'),
      import('../src/sqlite/migrations.ts'),
    ]);
    const writer = new Database(database.url.replace('sqlite:', ''), { timeout: 0 });
    writer.pragma('journal_mode = WAL');
    writer.pragma('foreign_keys = ON');
    const connection = new SqliteConnection(writer, undefined, parseOptions(sqliteOptions, {}));
    return { migrator: new Migrator(migrationTarget(connection), migrations), connection };
  }
  const [{ default: postgres }, { Dialer }, { PostgresConnection }, { migrationTarget }, { parsePostgresUrl }] =
    await Promise.all([
      import('postgres'),
      import('../src/postgres/dial.ts'),
      import('../src/postgres/driver.ts'),
      import('../src/postgres/migrations.ts'),
      import('../src/postgres/target.ts'),
    ]);
  const options = parseOptions(postgresOptions, { poolSize: 2 });
  const dialer = new Dialer(postgres, parsePostgresUrl(database.url), options);
  const connection = new PostgresConnection(dialer, options);
  return { migrator: new Migrator(migrationTarget(connection, options.migrationTimeoutMs), migrations), connection };
}

describe.each(SHARED_BACKENDS)('migrations · $name', (backend) => {
  const on = async (
    migrations: readonly Migration[],
    work: (migrator: Migrator, database: TestDatabase) => Promise<void>,
  ) => {
    const database = await backend.create({ empty: true });
    const { migrator, connection } = await migratorOf(backend, database, migrations);
    try {
      await work(migrator, database);
    } finally {
      await connection.close(20_000);
      await database.drop();
    }
  };
  const again = async (database: TestDatabase, migrations: readonly Migration[]) => {
    const { migrator, connection } = await migratorOf(backend, database, migrations);
    try {
      return await migrator.migrate();
    } finally {
      await connection.close(20_000);
    }
  };
  const problemOf = (work: Promise<unknown>): Promise<MigrationProblem> =>
    work.then(
      () => Promise.reject(new Error('It should have failed')),
      (error) => (error instanceof MigrationError ? error.problem : Promise.reject(error)),
    );
  const log = backend.dialect === 'sqlite' ? '__drizzle_migrations' : 'drizzle.__drizzle_migrations';

  it('`auto` applies them when a store is opened, once', async () => {
    const database = await backend.create({ empty: true });
    const store = await database.open();
    const { applied, pending } = await store.migrationStatus();
    expect(applied).toEqual(readMigrations(`${ROOT}drizzle/${backend.dialect}`).map(({ name }) => name));
    expect(pending).toEqual([]);
    expect(await store.migrate()).toEqual([]);
    await store.incidents.create(newIncident());
    expect(await database.raw(`select count(*) as n from ${log}`)).toEqual([
      { n: backend.dialect === 'sqlite' ? MIGRATIONS.length : String(MIGRATIONS.length) },
    ]);
    await database.drop();
  });

  it('`verify` says what is pending and changes nothing; `off` does not look', async () => {
    // R-M8
    const database = await backend.create({ empty: true });
    await expect(database.open({ migrations: 'verify' })).rejects.toMatchObject({
      code: 'migration',
      problem: 'pending',
      migrations: MIGRATIONS,
    });
    const store = await database.open({ migrations: 'off' });
    expect((await store.migrationStatus()).applied).toEqual([]);
    expect(await store.migrate()).toEqual(MIGRATIONS);
    const verified = await database.open({ migrations: 'verify' });
    await verified.incidents.create(newIncident());
    await database.drop();
  });

  it('are refused when one was edited, is missing, is out of order, or when the database is newer', async () => {
    // R-M2
    const a = migration('0000_a', 1000, 'create table a (x integer)');
    const b = migration('0001_b', 2000, 'create table b (x integer)');
    const c = migration('0002_c', 3000, 'create table c (x integer)');
    await on([a, b], async (migrator, database) => {
      expect(await migrator.migrate()).toEqual(['0000_a', '0001_b']);
      expect(await problemOf(again(database, [a, { ...b, hash: 'f'.repeat(64) }]))).toBe('edited');
      expect(await problemOf(again(database, [a]))).toBe('newer');
      expect(await problemOf(again(database, [b, c]))).toBe('missing');
      expect(await problemOf(again(database, [a, migration('0001_x', 1500, 'create table x (x integer)'), b]))).toBe(
        'missing',
      );
      expect(await problemOf(again(database, [b, a]))).toBe('out_of_order');
      await expect(again(database, [a])).rejects.toThrow('newer than this package');
      expect(await again(database, [a, b, c])).toEqual(['0002_c']);
    });
  });

  it('are each a transaction: one that fails leaves those before it, and nothing of its own', async () => {
    // R-M4
    const good = migration('0000_good', 1000, 'create table good (x integer)');
    const bad = migration('0001_bad', 2000, 'create table half (x integer)', 'create table good (x integer)');
    await on([good, bad], async (migrator, database) => {
      await expect(migrator.migrate()).rejects.toMatchObject({
        problem: 'failed',
        migrations: ['0001_bad'],
        cause: expect.any(Error),
      });
      expect(await migrator.status()).toEqual({ applied: ['0000_good'], pending: ['0001_bad'] });
      await expect(database.raw('select * from half')).rejects.toThrow();
      const mended = migration('0001_bad', 2000, 'create table half (x integer)');
      expect(await again(database, [good, mended])).toEqual(['0001_bad']);
    });
  });

  it('are interchangeable with drizzle-kit migrate: each sees the other’s work as done', async () => {
    // R-M5
    const kit = (url: string) =>
      execFileSync('npx', ['drizzle-kit', 'migrate', '--config', `drizzle/${backend.dialect}.config.ts`], {
        cwd: ROOT,
        env: { ...process.env, DATABASE_URL: url },
        stdio: 'pipe',
        encoding: 'utf8',
      });
    const theirs = await backend.create({ empty: true });
    kit(theirs.url);
    const store = await theirs.open({ migrations: 'verify' });
    expect(await store.migrate()).toEqual([]);
    await store.incidents.create(newIncident());
    await theirs.drop();

    const ours = await backend.create({ empty: true });
    await (await ours.open()).incidents.create(newIncident());
    kit(ours.url);
    expect(await ours.raw(`select count(*) as n from ${log}`)).toEqual([
      { n: backend.dialect === 'sqlite' ? MIGRATIONS.length : String(MIGRATIONS.length) },
    ]);
    await ours.drop();
  });

  if (backend.dialect === 'sqlite') {
    it('keep the children of a table that is rebuilt, and refuse to leave rows that refer to nothing', async () => {
      // R-M3: inside BEGIN, PRAGMA foreign_keys does nothing, and DROP TABLE would cascade (drizzle-orm#5782)
      const database = await backend.create();
      const store = await database.open();
      const action = await proposed(store);
      await store.close();
      const own = readMigrations(`${ROOT}drizzle/sqlite`);
      const columns = (await database.raw(`select name from pragma_table_info('incidents')`))
        .map(({ name }) => name)
        .join(', ');
      const [{ sql = '' } = {}] = await database.raw(`select sql from sqlite_master where name = 'incidents'`);
      const rebuild = migration(
        '0009_rebuild',
        Date.now() + 1e12,
        'PRAGMA foreign_keys=OFF;',
        String(sql).replace('incidents', '__new_incidents').replaceAll('"incidents"."', '"'),
        `insert into __new_incidents (${columns}) select ${columns} from incidents`,
        'drop table incidents',
        'alter table __new_incidents rename to incidents',
        'PRAGMA foreign_keys=ON;',
      );
      expect(await again(database, [...own, rebuild])).toEqual(['0009_rebuild']);
      expect(await database.raw(`select count(*) as n from actions where id = '${action.id}'`)).toEqual([{ n: 1 }]);
      expect(await database.raw('select count(*) as n from audit_logs')).toEqual([{ n: 2 }]);
      const orphan = migration('0010_orphan', Date.now() + 2e12, 'delete from incidents');
      expect(await problemOf(again(database, [...own, rebuild, orphan]))).toBe('foreign_keys');
      expect(await database.raw('select count(*) as n from incidents')).toEqual([{ n: 1 }]);
      await database.drop();
    });

    it('say when another process migrates for too long', async () => {
      const database = await backend.create({ empty: true });
      const { default: Database } = await import('better-sqlite3');
      const other = new Database(database.url.replace('sqlite:', ''));
      other.exec('begin immediate');
      await expect(database.open({ busyTimeoutMs: 50 })).rejects.toMatchObject({
        code: expect.stringMatching(/busy|migration/),
      });
      other.exec('rollback');
      other.close();
      await database.drop();
    });

    it('switch foreign keys on again, also after one failed', async () => {
      const bad = migration('0000_bad', 1, 'create table t (x)', 'nonsense');
      const database = await backend.create({ empty: true });
      const { migrator, connection } = await migratorOf(backend, database, [bad]);
      await expect(migrator.migrate()).rejects.toThrow(MigrationError);
      expect(Reflect.get(connection, 'writer').pragma('foreign_keys', { simple: true })).toBe(1);
      await connection.close(20_000);
      await database.drop();
    });
  } else {
    it('may add an enum value and use it later', async () => {
      // R-M4: 55P04 in one transaction (drizzle-orm#3466)
      const make = migration('0000_make', 1000, `create type mood as enum ('ok')`, 'create table t (m mood)');
      const add = migration('0001_add', 2000, `alter type mood add value 'great'`);
      const use = migration('0002_use', 3000, `insert into t values ('great')`);
      await on([make, add, use], async (migrator) => {
        expect(await migrator.migrate()).toHaveLength(3);
      });
    });

    it('need no rights but to read, when nothing is pending', async () => {
      // R-M8: least privilege in production
      const database = await backend.create();
      const role = `reader_${Date.now()}`;
      await database.raw(`create role "${role}" login password 'pw'`);
      await database.raw(`grant select, insert, update on all tables in schema public to "${role}"`);
      await database.raw(`grant usage on schema drizzle to "${role}"`);
      await database.raw(`grant select on drizzle.__drizzle_migrations to "${role}"`);
      const url = new URL(database.url);
      url.username = role;
      url.password = 'pw';
      const { openPostgresStore } = await import('../src/postgres/open.ts');
      for (const migrations of ['verify', 'auto'] as const) {
        const store = await openPostgresStore(url.href, { migrations });
        await store.incidents.create(newIncident());
        await store.close();
      }
      await database.raw(`drop owned by "${role}"`);
      await database.raw(`drop role "${role}"`);
      await database.drop();
    });
  }
});
