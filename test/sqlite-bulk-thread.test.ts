/** Large bulk inserts of SQLite run on a thread of their own. */
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { BulkThread } from '../src/sqlite/bulk-thread.ts';
import { openSqliteStore } from '../src/sqlite/open.ts';
import { newIncident } from './support/fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'tw-bulk-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => void vi.restoreAllMocks());

const opened = async (name: string, options = {}) => {
  const file = join(folder, `${name}.db`);
  return { file, store: await openSqliteStore(`sqlite:${file}`, options), start: vi.spyOn(BulkThread, 'start') };
};

/** More than is encoded ahead: 9 MB. */
const COUNT = 6000;
function* incidents(count = COUNT, of: (i: number) => object = () => ({})) {
  for (let i = 0; i < count; i++) yield newIncident({ alertData: { n: i, log: 'x'.repeat(1500) }, ...of(i) });
}

describe('a large createMany', () => {
  it('is stored by a thread, whole, and the log is copied by it too', async () => {
    // R-L5
    const { file, store, start } = await opened('large');
    const small = await store.incidents.createMany(incidents(100));
    expect(start).not.toHaveBeenCalled();
    const ids = await store.as('importer').incidents.createMany(incidents());
    expect(start).toHaveBeenCalledTimes(1);
    const thread = await start.mock.results[0]?.value;
    expect(thread).toBeInstanceOf(BulkThread);
    // seen at once by readers and by the writer, while the thread copies the log
    expect(await store.incidents.count()).toBe(small.length + COUNT);
    expect((await store.incidents.get(ids[COUNT - 1] as string)).alertData).toMatchObject({ n: COUNT - 1 });
    await store.incidents.addTags(ids[0] as string, ['written after']);
    expect(await store.auditLogs.count({ actor: 'importer', action: 'incident_created' })).toBe(COUNT);
    await thread.ended;
    expect(statSync(file).size).toBeGreaterThan(9_000_000);
    await store.close();
    expect(existsSync(`${file}-wal`)).toBe(false);
    const raw = new Database(file);
    expect(raw.pragma('integrity_check', { simple: true })).toBe('ok');
    raw.close();
  });

  it('leaves nothing behind when a late row cannot be stored, and the next writes go on', async () => {
    const { store, start } = await opened('failing');
    const taken = await store.incidents.create(newIncident());
    const late = (i: number) => (i === COUNT - 1 ? { id: taken.id } : {});
    await expect(store.incidents.createMany(incidents(COUNT, late))).rejects.toMatchObject({
      code: 'unique_violation',
      table: 'incidents',
      columns: ['id'],
    });
    await expect(
      store.incidents.createMany(incidents(COUNT, (i) => (i === COUNT - 1 ? { severity: 'urgent' } : {}))),
    ).rejects.toMatchObject({ code: 'validation' });
    expect(start).toHaveBeenCalledTimes(2);
    expect([await store.incidents.count(), await store.auditLogs.count()]).toEqual([1, 1]);
    expect(await store.incidents.createMany(incidents(COUNT, late), { onConflict: 'ignore' })).toHaveLength(COUNT - 1);
    const writes = [store.incidents.createMany(incidents()), store.incidents.create(newIncident())];
    await Promise.all(writes);
    expect(await store.incidents.count()).toBe(2 * COUNT + 1);
    await store.close();
  });

  it('waits for another process that writes, and gives up in time', async () => {
    const { file, store } = await opened('busy', { busyTimeoutMs: 200 });
    const other = new Database(file);
    other.exec('begin immediate');
    await expect(store.incidents.createMany(incidents())).rejects.toMatchObject({ code: 'busy' });
    const waiting = store.incidents.createMany(incidents());
    setTimeout(() => other.exec('rollback'), 50);
    expect(await waiting).toHaveLength(COUNT);
    other.close();
    await store.close();
  });

  it('ends before a close, also one that comes right behind it', async () => {
    const { file, store, start } = await opened('closed');
    const storing = store.incidents.createMany(incidents());
    await expect.poll(() => start.mock.calls.length, { interval: 1 }).toBe(1); // it has begun
    const closing = store.close();
    expect(await storing).toHaveLength(COUNT);
    await closing;
    const raw = new Database(file, { readonly: true });
    expect(raw.prepare('select count(*) from incidents').pluck().get()).toBe(COUNT);
    raw.close();
  });

  it('is a part of the transaction it is called in, and works where there can be no thread', async () => {
    const { store, start } = await opened('inside');
    await expect(
      store.transaction(async (tx) => {
        await tx.incidents.createMany(incidents());
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    expect(start).not.toHaveBeenCalled();
    expect(await store.incidents.count()).toBe(0);
    start.mockResolvedValueOnce(undefined);
    expect(await store.incidents.createMany(incidents())).toHaveLength(COUNT);
    expect(await store.incidents.count()).toBe(COUNT);
    await store.close();
  });

  it('refuses a source that uses the store itself', async () => {
    const { store } = await opened('source');
    async function* reading() {
      yield* incidents();
      await store.incidents.count();
    }
    await expect(store.incidents.createMany(reading())).rejects.toMatchObject({ code: 'transaction_scope' });
    expect(await store.incidents.count()).toBe(0);
    await store.close();
  });

  it('is stored in the file that was opened, wherever the process is by then', async () => {
    const file = join(folder, 'relative.db');
    const store = await openSqliteStore(`sqlite:${relative(process.cwd(), file)}`);
    const start = vi.spyOn(BulkThread, 'start');
    await store.incidents.createMany(incidents());
    expect(start.mock.calls[0]?.[0].name).toBe(resolve(file));
    await store.close();
  });
});
