/** What only SQLite does: pragmas, modes, files, and transactions that it rolls back by itself. */
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigurationError, openStore, StoreError } from '../src/index.ts';
import { parseSqliteUrl } from '../src/sqlite/url.ts';
import { newIncident } from './support/fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'tw-sqlite-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('SQLite', () => {
  it.each([
    ['sqlite:data/triage.db', 'data/triage.db', 'rwc'],
    ['sqlite://data/triage.db?mode=rw', 'data/triage.db', 'rw'],
    ['sqlite:///var/db/x.db', '/var/db/x.db', 'rwc'],
    ['sqlite:/var/db/x.db?mode=ro', '/var/db/x.db', 'ro'],
    ['sqlite::memory:', ':memory:', 'rwc'],
    ['sqlite://?mode=memory', ':memory:', 'rwc'],
    ['sqlite:a%20b.db', 'a b.db', 'rwc'],
  ])('reads the URL %s', (url, file, mode) => {
    expect(parseSqliteUrl(url)).toEqual({ file, mode });
  });

  it.each([
    'sqlite:',
    'sqlite:x.db?mode=rwx',
    'sqlite:x.db?cache=shared',
    'sqlite::memory:?mode=ro',
    'sqlite::memory:?mode=bogus',
    'sqlite:100%.db',
  ])('refuses the URL %s', (url) => {
    // R-O7
    expect(() => parseSqliteUrl(url)).toThrow(ConfigurationError);
  });

  it('makes the file with its folder, and only where the mode allows', async () => {
    const url = `sqlite:${join(folder, 'new/deep/triage.db')}`;
    await expect(openStore(`${url}?mode=rw`)).rejects.toMatchObject({ code: 'connection' });
    expect(existsSync(join(folder, 'new'))).toBe(false);
    await (await openStore(url)).close();
    await (await openStore(`${url}?mode=ro`)).close();
    await expect(openStore(`sqlite:${join(folder, 'none.db')}?mode=ro`)).rejects.toMatchObject({ code: 'connection' });
  });

  it.each([
    ['power-loss', 2],
    ['process', 1],
  ] as const)(
    'opens a file in WAL, with foreign keys, and synchronous as durability %s asks',
    async (durability, level) => {
      // R-O8
      const file = join(folder, `${durability}.db`);
      const store = await openStore(`sqlite:${file}`, { durability });
      const { driver } = Reflect.get(store, 'cx') as {
        driver: {
          transaction<T>(work: (tx: { exec(query: object): Promise<{ rows: unknown[][] }> }) => Promise<T>): Promise<T>;
        };
      };
      const pragma = (name: string) =>
        driver.transaction(
          async (tx) => (await tx.exec({ sql: `pragma ${name}`, params: [], reads: false })).rows[0]?.[0],
        );
      expect(await pragma('journal_mode')).toBe('wal');
      expect(await pragma('synchronous')).toBe(level);
      expect(await pragma('foreign_keys')).toBe(1);
      expect(await pragma('busy_timeout')).toBe(0);
      await store.close();
      expect(existsSync(`${file}-wal`)).toBe(false); // the last connection folded the log into the file
    },
  );

  it.skipIf(process.platform === 'win32')('makes the file and its folder for their owner alone', async () => {
    // F-C9: sessions and password hashes stand in it
    const umask = process.umask(0o022);
    try {
      const file = join(folder, 'private', 'deep', 'triage.db');
      const store = await openStore(`sqlite:${file}`);
      await store.incidents.create(newIncident());
      const modes = ['', '-wal', '-shm'].map((suffix) => statSync(file + suffix).mode & 0o777);
      expect(modes).toEqual([0o600, 0o600, 0o600]);
      for (const made of [dirname(file), dirname(dirname(file))]) expect(statSync(made).mode & 0o777).toBe(0o700);
      await store.close();
      chmodSync(file, 0o640); // what is there already is its owner's choice
      await (await openStore(`sqlite:${file}`)).close();
      expect(statSync(file).mode & 0o777).toBe(0o640);
    } finally {
      process.umask(umask);
    }
  });

  it('has an audit trail that no conflict of any kind replaces', async () => {
    // F-A3
    const file = join(folder, 'replace.db');
    const store = await openStore(`sqlite:${file}`);
    const ids = await store.incidents.createMany([newIncident(), newIncident(), newIncident()]);
    await store.close();
    const raw = new Database(file);
    const trail = () => raw.prepare('select rowid, * from audit_logs order by rowid').all();
    const before = trail();
    expect(before).toHaveLength(3);
    const taken = (before[0] as { id: string }).id;
    const entry = (rowid: string, id: string) =>
      `(rowid, id, incident_id, action, actor, created_at) values (${rowid}, ${id}, '${ids[0]}', 'forged', 'mallory', '2024-01-01T00:00:00.000Z')`;
    const one = 'lower(hex(randomblob(16)))';
    for (const rowid of ['1', '2', '3', '0', '-1', '5', '9223372036854775807', '-9223372036854775808'])
      for (const verb of [
        'insert',
        'insert or replace',
        'replace',
        'insert or ignore',
        'insert or fail',
        'insert or rollback',
      ])
        expect(() => raw.exec(`${verb} into audit_logs ${entry(rowid, one)}`), `${verb} ${rowid}`).toThrow(/immutable/);
    for (const verb of ['insert', 'insert or replace', 'replace', 'insert or ignore'])
      expect(() => raw.exec(`${verb} into audit_logs ${entry('null', `'${taken}'`)}`)).toThrow(/taken/);
    expect(() =>
      raw.exec(
        `insert into audit_logs ${entry('null', `'${taken}'`)} on conflict (id) do update set action = 'forged'`,
      ),
    ).toThrow(/taken/);
    for (const verb of ['update', 'update or replace', 'update or ignore'])
      for (const set of ['rowid = 1', `id = '${taken}'`, "action = 'forged'"])
        expect(() => raw.exec(`${verb} audit_logs set ${set} where rowid = 2`)).toThrow(/immutable/);
    expect(() => raw.exec('delete from audit_logs')).toThrow(/immutable/);
    expect(trail()).toEqual(before);
    // what may be written still can be: with the next number, without one, and many at the same moment
    raw.exec(`insert into audit_logs ${entry('4', one)}`);
    raw.exec(`insert into audit_logs ${entry('null', one)}`);
    raw.exec(
      `insert into audit_logs (id, incident_id, action, actor, created_at) select 'x' || rowid, incident_id, action, actor, created_at from audit_logs`,
    );
    expect(trail()).toHaveLength(10);
    raw.close();
  });

  it('does not throw a second error over the first when it has rolled back by itself', async () => {
    // R-T7
    const file = join(folder, 'rollback.db');
    const store = await openStore(`sqlite:${file}`);
    const raw = new Database(file);
    raw.exec(
      `create trigger gone before insert on incidents when new.ticket_id = 'GONE' begin select raise(rollback, 'rolled back by the trigger'); end`,
    );
    raw.close();
    for (const work of [
      () => store.incidents.create(newIncident({ ticketId: 'GONE' })),
      () => store.transaction((tx) => tx.incidents.create(newIncident({ ticketId: 'GONE' }))),
      () =>
        store.transaction((tx) => tx.transaction((inner) => inner.incidents.create(newIncident({ ticketId: 'GONE' })))),
    ]) {
      const error = await work().catch((thrown) => thrown);
      expect(error).toBeInstanceOf(StoreError);
      expect(error.cause.message).toBe('rolled back by the trigger');
    }
    // nor does anything that follows in the doomed transaction write outside of it
    await store
      .transaction(async (tx) => {
        await tx.transaction((inner) => inner.incidents.create(newIncident({ ticketId: 'GONE' }))).catch(() => {});
        await tx.incidents.create(newIncident({ ticketId: 'AFTER' }));
      })
      .catch(() => {});
    expect(await store.incidents.count({ ticketId: 'AFTER' })).toBe(0);
    await store.incidents.create(newIncident());
    await store.close();
  });

  it('lets timers run while it is busy writing, and reading', async () => {
    const store = await openStore(`sqlite:${join(folder, 'busy.db')}`, { durability: 'process' });
    const { id } = await store.incidents.create(newIncident());
    for (const work of [() => store.incidents.addTags(id, ['x']), () => store.incidents.get(id)]) {
      let ticks = 0;
      const timer = setInterval(() => ticks++, 1);
      const end = performance.now() + 150;
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          while (performance.now() < end) await work();
        }),
      );
      clearInterval(timer);
      expect(ticks).toBeGreaterThan(3); // none at all, when the work never leaves the microtask queue
    }
    await store.close();
  });

  it('says that the disk is full', async () => {
    // R-E1
    const file = join(folder, 'full.db');
    await (await openStore(`sqlite:${file}`)).close();
    const raw = new Database(file);
    const pages = raw.pragma('page_count', { simple: true });
    raw.close();
    const store = await openStore(`sqlite:${file}`);
    const { driver } = Reflect.get(store, 'cx') as { driver: { exec(query: object): Promise<unknown> } };
    await driver.exec({ sql: `pragma max_page_count = ${Number(pages)}`, params: [], reads: false });
    const big = newIncident({ alertData: 'x'.repeat(100_000) });
    await expect(store.incidents.create(big)).rejects.toMatchObject({ code: 'disk_full' });
    await expect(store.transaction((tx) => tx.incidents.create(big))).rejects.toMatchObject({ code: 'disk_full' });
    await store.close();
  });

  it('says that a file is no database', async () => {
    const { writeFileSync } = await import('node:fs');
    const file = join(folder, 'text.db');
    writeFileSync(file, 'this is text, and quite a lot of it: '.repeat(200));
    await expect(openStore(`sqlite:${file}`)).rejects.toMatchObject({ code: 'database', nativeCode: 'SQLITE_NOTADB' });
  });

  it('lets everyone who waits for the same lock wait as long as `busyTimeoutMs`, not one after the other', async () => {
    const file = join(folder, 'held.db');
    const store = await openStore(`sqlite:${file}`, { busyTimeoutMs: 400 });
    const other = new Database(file);
    other.exec('begin immediate');
    const began = performance.now();
    const waiting = Array.from({ length: 6 }, (_, i) =>
      i % 2 ? store.transaction((tx) => tx.incidents.count()) : store.incidents.create(newIncident()),
    );
    const late = new Promise((resolve) => setTimeout(resolve, 200)).then(async () => {
      const asked = performance.now();
      await expect(store.incidents.create(newIncident())).rejects.toMatchObject({ code: 'busy' });
      return performance.now() - asked;
    });
    const outcomes = await Promise.allSettled(waiting);
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual(
      Array.from({ length: 6 }, () => 'busy'),
    );
    expect(performance.now() - began).toBeLessThan(1500); // 2,400 one after the other
    expect(await late).toBeGreaterThan(390); // from its own call on
    // who asks later has its own time, also where it is gathered with those who asked before
    const asking = Array.from({ length: 8 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 80));
      return store.incidents.create(newIncident()).then(
        () => i,
        () => -1,
      );
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    other.exec('rollback');
    const written = (await Promise.all(asking)).filter((i) => i >= 0);
    expect(written).toEqual(expect.arrayContaining([3, 4, 5, 6, 7])); // asked within 400 ms of its release
    expect(await store.incidents.count()).toBe(written.length);
    other.close();
    await store.close();
  });
});
