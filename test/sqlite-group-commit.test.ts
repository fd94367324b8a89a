/** Writes of SQLite that wait at the same moment share a commit. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, it } from 'vitest';
import { openSqliteStore } from '../src/sqlite/open.ts';
import { newIncident, trailOf } from './support/fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'tw-group-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Commits in the write-ahead log: the frames that end one tell the size of the database (https://sqlite.org/fileformat2.html#walformat). */
function commitsIn(file: string): number {
  const wal = readFileSync(`${file}-wal`);
  const pageSize = wal.readUInt32BE(8);
  const salt = wal.subarray(16, 24);
  let commits = 0;
  for (let at = 32; at + 24 <= wal.length; at += 24 + pageSize)
    if (wal.subarray(at + 8, at + 16).equals(salt) && wal.readUInt32BE(at + 4) > 0) commits++;
  return commits;
}

async function opened(name: string) {
  const file = join(folder, `${name}.db`);
  const store = await openSqliteStore(`sqlite:${file}`);
  const raw = new Database(file, { timeout: 0 });
  return {
    file,
    store,
    raw,
    /** The commits of some work. */
    async commitsOf(work: () => Promise<unknown>) {
      raw.pragma('wal_checkpoint(TRUNCATE)');
      await work();
      return commitsIn(file);
    },
    async close() {
      raw.close();
      await store.close();
    },
  };
}

describe('group commit', () => {
  it('puts writes that wait at once into a few commits, and a lone one into its own', async () => {
    // R-O8
    const { store, commitsOf, close } = await opened('few');
    expect(await commitsOf(() => store.incidents.create(newIncident()))).toBe(1);
    const one = async () => {
      await store.incidents.create(newIncident());
    };
    expect(await commitsOf(async () => await one().then(one).then(one))).toBe(3);
    const atOnce = await commitsOf(() => Promise.all(Array.from({ length: 32 }, one)));
    expect(atOnce).toBeGreaterThanOrEqual(1);
    expect(atOnce).toBeLessThanOrEqual(6);
    expect(await store.incidents.count()).toBe(36);
    await close();
  });

  it('lets one that fails fail alone, with all that belongs to it', async () => {
    const { store, raw, close } = await opened('alone');
    const { id } = await store.incidents.create(newIncident());
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        i % 3 === 0
          ? store.incidents.create(newIncident({ id }))
          : i % 3 === 1
            ? store.incidents.create(newIncident())
            : store.auditLogs.append({ incidentId: i === 2 ? crypto.randomUUID() : id, action: 'comment_added' }),
      ),
    );
    for (const [i, outcome] of outcomes.entries()) {
      if (i % 3 === 0) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'unique_violation' } });
      else if (i === 2)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'foreign_key_violation' } });
      else expect(outcome.status).toBe('fulfilled');
    }
    expect(await store.incidents.count()).toBe(11);
    expect(await trailOf(store, id)).toHaveLength(10); // its own creation, and nine comments
    expect(raw.prepare('select count(*) from audit_logs').pluck().get()).toBe(20);
    await close();
  });

  it('acknowledges nothing that is not committed: another process sees it by then', async () => {
    // R-O8
    const { store, raw, close } = await opened('seen');
    const seen = raw.prepare('select count(*) from incidents where id = ?').pluck();
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        const { id } = await store.incidents.create(newIncident());
        expect(seen.get(id)).toBe(1);
      }),
    );
    await close();
  });

  it('keeps what others did when SQLite itself rolls everything back', async () => {
    const { store, raw, close } = await opened('rolled back');
    raw.exec(
      `create trigger bomb before insert on incidents when new.ticket_id = 'bomb' begin select raise(rollback, 'no'); end`,
    );
    const outcomes = await Promise.allSettled(
      ['a', 'b', 'bomb', 'c', 'bomb', 'd'].map((ticketId) => store.incidents.create(newIncident({ ticketId }))),
    );
    expect(outcomes.map(({ status }) => status[0])).toEqual(['f', 'f', 'r', 'f', 'r', 'f']);
    expect(await store.incidents.count()).toBe(4);
    expect(await store.auditLogs.count()).toBe(4);
    await close();
  });

  it('fails all of a group when the commit itself fails, and goes on after it', async () => {
    const { store, raw, close } = await opened('commit');
    raw.exec(
      `create table parent (id text primary key); create table child (id text references parent (id) deferrable initially deferred);
       create trigger orphan after insert on incidents when new.ticket_id = 'orphan' begin insert into child values ('none'); end`,
    );
    const outcomes = await Promise.allSettled(
      ['a', 'orphan', 'b'].map((ticketId) => store.incidents.create(newIncident({ ticketId }))),
    );
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'foreign_key_violation' } });
    expect(await store.incidents.count()).toBe(0);
    await store.incidents.create(newIncident());
    expect(await store.incidents.count()).toBe(1);
    await close();
  });

  it('waits for another process as one, and keeps the order of transactions and writes', async () => {
    // R-T6
    const { store, raw, close } = await opened('order');
    raw.exec('begin immediate');
    const order: string[] = [];
    const note = (name: string) => () => void order.push(name);
    const all = [
      store.incidents.create(newIncident()).then(note('1')),
      store.incidents.create(newIncident()).then(note('2')),
      store.transaction((tx) => tx.incidents.create(newIncident())).then(note('tx')),
      store.incidents.create(newIncident()).then(note('3')),
    ];
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(order).toEqual([]);
    raw.exec('commit');
    await Promise.all(all);
    expect(order).toEqual(['1', '2', 'tx', '3']);
    await close();
  });

  it('does a thousand writes that wait before what comes after them: a transaction, and the close', async () => {
    const { store, raw } = await opened('thousand');
    const writes = Array.from({ length: 1000 }, () => store.incidents.create(newIncident()));
    const counted = store.transaction((tx) => tx.incidents.count());
    const closing = store.close();
    expect((await Promise.allSettled(writes)).filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(await counted).toBe(1000);
    await closing;
    raw.close();
  });

  it('refuses those that wait when the store is closed, and drops none silently', async () => {
    // R-O1
    const { store, raw } = await opened('closing');
    const before = Array.from({ length: 10 }, () => store.incidents.create(newIncident()));
    const closing = store.close();
    const after = Array.from({ length: 10 }, () => store.incidents.create(newIncident()));
    expect((await Promise.allSettled(before)).every(({ status }) => status === 'fulfilled')).toBe(true);
    for (const outcome of await Promise.allSettled(after))
      expect(outcome).toMatchObject({ reason: { code: 'closed' } });
    await closing;
    for (let i = 0; i < 3; i++)
      await expect(store.incidents.create(newIncident())).rejects.toMatchObject({ code: 'closed' });
    expect(raw.prepare('select count(*) from incidents').pluck().get()).toBe(10);
    raw.close();
  });
});
