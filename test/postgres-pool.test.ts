/** The pool of a real PostgreSQL's connections: what shares one, what has one for itself, and a server that has fallen silent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { describe, expect, it } from 'vitest';
import { SHARED_BACKENDS, type TestDatabase } from './support/databases.ts';
import { newIncident } from './support/fixtures.ts';

const backend = SHARED_BACKENDS.find(({ dialect }) => dialect === 'postgres');

const created = () => {
  if (!backend) throw new Error('There is a PostgreSQL backend');
  return backend.create();
};

/** Connections that wait for a lock. */
async function waitingFor(database: TestDatabase): Promise<number> {
  const [row] = await database.raw(
    `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return Number(row?.n);
}

describe('the pool of PostgreSQL’s connections', () => {
  it.each([9, 10])('reads go on beside %i writers that wait for a lock', async (blocked) => {
    // F-H2a: 10 of 100 finished beside nine, none beside ten
    const database = await created();
    const store = await database.open({ poolSize: 10 });
    const ids = await store.incidents.createMany(Array.from({ length: 20 }, () => newIncident()));
    const [locked = ''] = ids;
    const locking = postgres(database.url, { max: 1, onnotice: () => {} });
    let writing: Promise<unknown> = Promise.resolve();
    await locking.begin(async (sql) => {
      await sql`select 1 from incidents where id = ${locked} for update`;
      writing = Promise.all(Array.from({ length: blocked }, () => store.incidents.addTags(locked, ['x'])));
      await expect
        .poll(async () => {
          return waitingFor(database);
        })
        .toBeGreaterThanOrEqual(Math.min(blocked, 9));
      const reads = await Promise.all(
        Array.from({ length: 100 }, (_, i) => store.incidents.get(ids[1 + (i % 19)] as string)),
      );
      expect(reads).toHaveLength(100);
      expect(await store.incidents.count()).toBe(20);
    });
    await writing; // none of the reads waited for this
    await locking.end();
    await database.drop();
  });

  it('cancels a statement that runs too long on the server, and tells that it was undone', async () => {
    const database = await created();
    const store = await database.open({ statementTimeoutMs: 1_000 });
    const { id } = await store.incidents.create(newIncident());
    const locking = postgres(database.url, { max: 1, onnotice: () => {} });
    await locking.begin(async (sql) => {
      await sql`select 1 from incidents where id = ${id} for update`;
      await expect(store.incidents.addTags(id, ['late'])).rejects.toMatchObject({
        code: 'timeout',
        reason: 'statement',
        outcome: 'rolled_back',
        retryable: true,
      });
      await expect(store.transaction((tx) => tx.incidents.addTags(id, ['late']))).rejects.toMatchObject({
        code: 'timeout',
        outcome: 'rolled_back',
      });
      await expect(
        store.transaction((tx) => tx.incidents.addTags(id, ['late']), { timeoutMs: 300 }),
      ).rejects.toMatchObject({ code: 'timeout', outcome: 'rolled_back' });
      expect(await waitingFor(database)).toBe(0); // nothing waits on for the lock
    });
    expect((await store.incidents.get(id)).tags).toEqual([]);
    expect((await store.incidents.addTags(id, ['now'])).tags).toEqual(['now']);
    await locking.end();
    await database.drop();
  });

  it('sends nothing behind the making of the search index, which waits for others', async () => {
    const database = await created();
    const store = await database.open({ poolSize: 2 });
    const other = await database.open();
    await store.incidents.create(newIncident());
    let enabling: Promise<unknown> = Promise.resolve();
    let isReady = false;
    await other.transaction(async (tx) => {
      await tx.incidents.create(newIncident());
      enabling = store.searchIndex.enable().then(() => {
        isReady = true;
      });
      for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 12 }, () => store.incidents.count()));
      expect(isReady).toBe(false); // it waits for this transaction still, and those reads did not wait for it
    });
    await enabling;
    await database.drop();
  });

  it('gives up the making of the search index in time, and makes it the next time', async () => {
    const database = await created();
    const store = await database.open({ poolSize: 2 });
    const other = await database.open();
    await other.transaction(async (tx) => {
      await tx.incidents.create(newIncident());
      await expect(store.searchIndex.enable({ timeoutMs: 500 })).rejects.toMatchObject({ code: 'timeout' });
    });
    expect(await store.searchIndex.enable()).toMatchObject({ state: 'ready' });
    await database.drop();
  });

  it('lets a process end that has not closed its store', async () => {
    // F-I9
    const database = await created();
    const script = `
      const { openStore } = await import('./dist/index.js');
      const store = await openStore(${JSON.stringify(database.url)}, { migrations: 'off' });
      await Promise.all(Array.from({ length: 5 }, () => store.incidents.count()));
      console.log('done');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: new URL('..', import.meta.url),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    await database.drop();
  });

  it('lets a process end although its server has fallen silent', async () => {
    const database = await created();
    const url = new URL(database.url);
    const { hostname, port } = url;
    const sockets: Socket[] = [];
    const proxy = createServer((socket) => {
      const server = connect(Number(port), hostname);
      sockets.push(socket, server);
      for (const one of [socket, server]) one.on('error', () => {});
      socket.pipe(server).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    url.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const script = `
      const { openStore } = await import('./dist/index.js');
      const store = await openStore(${JSON.stringify(url.href)}, { migrations: 'off' });
      await store.incidents.count();
      console.log('open');
      await new Promise((resolve) => process.stdin.once('data', resolve));
      process.stdin.destroy();
      const reading = store.incidents.find('01890000-0000-7000-8000-000000000001').catch((error) => error.reason);
      await store.close({ timeoutMs: 300 });
      console.log(await reading);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: new URL('..', import.meta.url),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    while (!output.includes('open')) await sleep(10);
    for (const socket of sockets) socket.unpipe().pause();
    child.stdin.end('close\n');
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    expect(output.trim().split('\n').at(-1)).toBe('closed');
    for (const socket of sockets) socket.destroy();
    proxy.close();
    await database.drop();
  }, 90_000);
});
