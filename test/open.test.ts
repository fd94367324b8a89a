/** Opening a store: URLs, options, drivers. */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigurationError, type OpenOptions, openStore } from '../src/index.ts';

describe('openStore', () => {
  it('takes DATABASE_URL when no URL is given', async () => {
    const before = process.env.DATABASE_URL;
    process.env.DATABASE_URL = 'sqlite::memory:';
    try {
      await using store = await openStore();
      expect(store.dialect).toBe('sqlite');
      process.env.DATABASE_URL = '';
      await expect(openStore()).rejects.toThrow('DATABASE_URL');
    } finally {
      if (before === undefined) delete process.env.DATABASE_URL;
      else process.env.DATABASE_URL = before;
    }
  });

  it.each([
    'mysql://u:hunter2@h/d',
    'hunter2',
    'postgres:hunter2',
    'postgres://u:hunter2@h:port/d',
    'postgresql://u:hunter2@[/d',
    'postgres://u:hunter2@h1:5432,h2:abc/d',
    'postgres://u:hunter2@h1:5432,h2:70000/d',
    'postgres://u:hunter2@h1,[hunter2]:5432/d',
    'postgres://u:hunter2@h1,/d',
    'postgres://u:hunter2@h/d?connect_timeout=3000000',
    'postgres://u:hunter2@h/d?options=a,b&prepare=false',
    'postgres://u:hunter2@h/d?prepare=false',
    'postgres://u:hunter2@h/d?max=5',
    'postgres://u:hunter2@h/d?idle_timeout=5',
    'postgres://u:hunter2@h/d?TimeZone=Europe/Paris',
    'postgres://u:hunter2@h/d?connect_timeout=hunter2',
  ])('refuses the URL %s without quoting it', async (url) => {
    // R-O6, R-O7
    const error = await openStore(url).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain('hunter2');
  });

  it('does not show the password when the server cannot be reached, or refuses it', async () => {
    // R-O6
    const error = await openStore('postgres://u:hunter2@127.0.0.1:1/d').catch((thrown) => thrown);
    expect(error.code).toBe('connection');
    expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain('hunter2');
  });

  it.each([
    { migrations: 'maybe' },
    { durability: 'none' },
    { busyTimeoutMs: -1 },
    { busyTimeoutMs: '5' },
    { poolSize: 4 },
    { unknown: true },
    { now: 5 },
    { jsonLimits: { maxDepth: 0 } },
  ])('refuses the options %j', async (options) => {
    // R-O7
    await expect(openStore('sqlite::memory:', options as OpenOptions)).rejects.toBeInstanceOf(ConfigurationError);
  });

  it.each([{ poolSize: 0 }, { busyTimeoutMs: 1 }, { ssl: 'maybe' }, { applicationName: '' }])(
    'refuses the options %j on PostgreSQL',
    async (options) => {
      await expect(openStore('postgres://127.0.0.1:1/d', options as OpenOptions)).rejects.toBeInstanceOf(
        ConfigurationError,
      );
    },
  );

  const node = (script: string) =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: new URL('..', import.meta.url),
      encoding: 'utf8',
    });

  it('loads no driver, and no dialect, before a store is opened; and then one only', () => {
    // R-O5
    const loaded = (script: string) =>
      node(`
        import { createRequire, register } from 'node:module';
        const seen = [];
        const { port1, port2 } = new MessageChannel();
        port1.on('message', (url) => seen.push(url));
        register('data:text/javascript,' + encodeURIComponent(\`
          let port;
          export const initialize = (data) => { port = data.port; };
          export async function load(url, context, next) { port.postMessage(url); return next(url, context); }
        \`), { parentURL: import.meta.url, data: { port: port2 }, transferList: [port2] });
        ${script}
        await new Promise((resolve) => setTimeout(resolve, 50));
        console.log(JSON.stringify(seen));
        process.exit();
      `);
    const packages = (json: string) =>
      new Set(
        (JSON.parse(json) as string[]).flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []),
      );
    const index = packages(loaded(`await import('./dist/index.js');`));
    expect([...index]).toEqual([]);
    const sqlite = packages(
      loaded(
        `const { openStore } = await import('./dist/index.js'); await (await openStore('sqlite::memory:')).close();`,
      ),
    );
    expect(sqlite.has('better-sqlite3')).toBe(true);
    expect(sqlite.has('postgres')).toBe(false);
    const postgres = packages(
      loaded(
        `const { openStore } = await import('./dist/index.js'); await openStore('postgres://127.0.0.1:1/d').catch(() => {});`,
      ),
    );
    expect(postgres.has('postgres')).toBe(true);
    expect(postgres.has('better-sqlite3')).toBe(false);
  });

  it('ends the process by itself when it could not be opened', () => {
    // R-O1
    expect(
      node(
        `import { openStore } from './dist/index.js'; await openStore('postgres://127.0.0.1:1/d').catch((e) => console.log(e.code));`,
      ).trim(),
    ).toBe('connection');
  });

  it('waits for a silent server as long as the URL says', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const began = performance.now();
    await expect(openStore(`postgres://u:p@127.0.0.1:${port}/d?connect_timeout=1`)).rejects.toMatchObject({
      code: 'connection',
    });
    expect(performance.now() - began).toBeLessThan(15_000); // not 30 s
    server.close();
  }, 40_000);

  it('fails soon where a proxy closes every connection, since it has no server behind it', async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    for (const query of ['', '?sslmode=require'])
      await expect(openStore(`postgres://u:p@127.0.0.1:${port}/d${query}`)).rejects.toMatchObject({
        code: 'connection',
        retryable: true,
      });
    expect(connections).toBeLessThan(10);
    server.close();
  });

  it('tries several hosts in turn, and fails when there are no more', async () => {
    const dead = openStore('postgres://u:p@127.0.0.1:1,127.0.0.1:2,[::1]:3/d', { connectTimeoutMs: 1000 });
    await expect(dead).rejects.toMatchObject({ code: 'connection' });
    const before = process.env.PGHOST;
    process.env.PGHOST = '127.0.0.1,127.0.0.2';
    try {
      await expect(openStore('postgres:///d?connect_timeout=1')).rejects.toMatchObject({ code: 'connection' });
    } finally {
      if (before === undefined) delete process.env.PGHOST;
      else process.env.PGHOST = before;
    }
  });

  it.each(['[::1]:1', '255.255.255.255:1', '[100::1]:1'])('says that %s cannot be reached', async (host) => {
    const error = await openStore(`postgres://u:p@${host}/d`, { connectTimeoutMs: 2000 }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'connection' });
    expect(error.cause.message).not.toContain('ENOTFOUND'); // an address, no name
  });
});
