/** The pool of PostgreSQL's connections: who gets one when; and a server that does not answer any more. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { type Client, Pool, type Slot } from '../src/postgres/pool.ts';
import { SHARED_BACKENDS } from './support/databases.ts';
import { newIncident } from './support/fixtures.ts';

const backend = SHARED_BACKENDS.find(({ dialect }) => dialect === 'postgres');

const client = (): Client => ({ sql: { end: async () => {} } as Client['sql'], destroy: () => {} });

/** What has got a connection, in order. */
function pool(poolSize: number) {
  const taken: string[] = [];
  const own = new Pool(client, { poolSize });
  const slots: Record<string, Slot> = {};
  const take = (name: string, alone: boolean) => {
    const got = own.take(alone);
    const note = (slot: Slot) => {
      taken.push(name);
      slots[name] = slot;
    };
    if (got instanceof Promise) void got.then(note);
    else note(got);
  };
  const release = async (...names: string[]) => {
    for (const name of names) own.release(slots[name] as Slot);
    await new Promise(setImmediate);
  };
  return { own, taken, take, release };
}

describe('the pool of PostgreSQL’s connections', () => {
  it('pipelines statements again once those that had to wait have got a connection', async () => {
    const { taken, take, release } = pool(1);
    take('transaction', true);
    for (const name of ['a', 'b', 'c']) take(name, false);
    await release('transaction');
    expect(taken).toEqual(['transaction', 'a', 'b', 'c']); // all on the one connection
    take('d', false);
    expect(taken).toContain('d');
  });

  it('lets a transaction have its turn: statements that come later wait behind it', async () => {
    const { own, taken, take, release } = pool(2);
    take('a', false);
    take('b', false);
    take('transaction', true);
    take('c', false);
    expect(taken).toEqual(['a', 'b']);
    await release('a');
    expect(taken).toEqual(['a', 'b', 'transaction', 'c']); // c shares with b
    let closed = false;
    const closing = own.close().then(() => {
      closed = true;
    });
    await release('b', 'c');
    expect(closed).toBe(false);
    await release('transaction');
    await closing;
  });

  it('sends nothing behind the making of the search index, which waits for others', async () => {
    if (!backend) throw new Error('There is a PostgreSQL backend');
    const database = await backend.create();
    const store = await database.open({ poolSize: 2 });
    const other = await database.open();
    await store.incidents.create(newIncident());
    let slowest = 0;
    let enabling: Promise<unknown> = Promise.resolve();
    await other.transaction(async (tx) => {
      await tx.incidents.create(newIncident());
      enabling = store.searchIndex.enable();
      const end = performance.now() + 1500;
      while (performance.now() < end) {
        const asked = performance.now();
        await Promise.all(Array.from({ length: 12 }, () => store.incidents.count()));
        slowest = Math.max(slowest, performance.now() - asked);
      }
    });
    await enabling;
    expect(slowest).toBeLessThan(1000); // 1,500 behind it
    await database.drop();
  });

  it('lets a process end although its server has fallen silent', async () => {
    if (!backend) throw new Error('There is a PostgreSQL backend');
    const database = await backend.create();
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
      await store.close();
      console.log('closed');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: new URL('..', import.meta.url),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    for (const socket of sockets) socket.unpipe().pause();
    const began = performance.now();
    child.stdin.end('close\n');
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    expect(performance.now() - began).toBeLessThan(20_000);
    for (const socket of sockets) socket.destroy();
    proxy.close();
    await database.drop();
  }, 90_000);
});
