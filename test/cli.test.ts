import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { maskUrl } from '../src/cli/mask-url.ts';
import { openStore, type Secret, secret } from '../src/index.ts';
import { SHARED_BACKENDS } from './support/databases.ts';
import { MIGRATIONS } from './support/migrations.ts';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** Runs tw-db; answers its exit code and what it printed. */
function twDb(args: readonly string[], env: Record<string, string> = {}) {
  const { DATABASE_URL: _, ...rest } = process.env;
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env: { ...rest, ...env } }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });
}

describe.each(SHARED_BACKENDS)('tw-db · $name', (backend) => {
  it('makes, shows and removes the search index', async () => {
    const database = await backend.create();
    const url = ['--database-url', database.url];
    expect((await twDb(['search-index', 'status', ...url])).out).toContain('the search index is absent');
    const enabled = await twDb(['search-index', 'enable', '--json', ...url]);
    expect(enabled.code).toBe(0);
    expect(JSON.parse(enabled.out)).toMatchObject({ state: 'ready', bytes: expect.any(Number) });
    expect((await twDb(['search-index', 'status', ...url])).out).toContain('the search index is ready');
    expect((await twDb(['search-index', 'disable', ...url])).code).toBe(0);
    expect(JSON.parse((await twDb(['search-index', 'status', '--json', ...url])).out)).toMatchObject({
      state: 'absent',
    });
    expect((await twDb(['search-index', 'rebuild', ...url])).code).toBe(2);
    await database.drop();
  });

  it('says what is pending (3), applies it (0), and says that nothing is (0)', async () => {
    const database = await backend.create({ empty: true });
    if (backend.dialect === 'sqlite') writeFileSync(database.url.replace('sqlite:', ''), '');
    const url = ['--database-url', database.url];
    const before = await twDb(['status', ...url]);
    expect(before.code).toBe(3);
    expect(before.out).toContain(`0 applied, ${MIGRATIONS.length} pending`);
    const migrated = await twDb(['migrate', '--json'], { DATABASE_URL: database.url });
    expect(migrated.code).toBe(0);
    expect(JSON.parse(migrated.out)).toMatchObject({ applied: MIGRATIONS });
    expect((await twDb(['migrate', ...url])).out).toContain('up to date');
    const after = await twDb(['status', '--json', ...url]);
    expect(after.code).toBe(0);
    expect(JSON.parse(after.out)).toMatchObject({ applied: MIGRATIONS, pending: [] });
    for (const { out, err } of [before, migrated, after]) {
      const { password } = new URL(database.url.replace('sqlite:', 'sqlite://'));
      if (password) expect(out + err).not.toContain(password); // R-O6
    }
    await database.drop();
  });
});

describe('tw-db', () => {
  const url = 'postgres://tw:hunter2@127.0.0.1:1/none';

  it('ends with 1 when the database refuses, and shows no password', async () => {
    // R-O6
    for (const args of [['status'], ['migrate', '--json']]) {
      const { code, out, err } = await twDb([...args, '--database-url', url]);
      expect(code).toBe(1);
      expect(err).toContain('connection');
      expect(out + err).not.toContain('hunter2');
    }
  });

  it('ends with 2 when the call cannot be understood', async () => {
    for (const args of [
      ['status'],
      ['status', '--nope'],
      ['nope'],
      ['status', '--url=postgres://u:hunter2@h/db'],
      ['status', '--url', 'postgres://u:hunter2@h/db'],
      ['postgres://u:hun@:/?#ter2hunter2@h/db'],
      ['search-index', 'enable', '--db=postgres://h/db?password=hunter2&x=1'],
      ['status', '--database-url', 'mysql://u:hunter2@h/d'],
      ['status', '--database-url', 'postgres://u:hunter2@h:port/d'],
    ]) {
      const { code, out, err } = await twDb(args);
      expect(code).toBe(2);
      expect(err).not.toBe('');
      expect(out + err).not.toContain('hunter2');
    }
  });

  it('makes no database but by `migrate`', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tw-cli-'));
    for (const args of [['status'], ['search-index', 'status'], ['search-index', 'enable']]) {
      const { code, err } = await twDb([...args, '--database-url', `sqlite:${join(folder, 'typo', 'x.db')}`]);
      expect(code).toBe(1);
      expect(err).toContain('[connection]');
    }
    expect(existsSync(join(folder, 'typo'))).toBe(false);
    rmSync(folder, { recursive: true });
  });

  it('makes keys that stores take', async () => {
    // F-D1
    const [plain, json] = [await twDb(['keys', 'generate']), await twDb(['keys', 'generate', '--json'])];
    expect([plain.code, json.code, plain.err, json.err]).toEqual([0, 0, '', '']);
    const { key } = JSON.parse(json.out) as { readonly key: string };
    expect(plain.out.trim()).not.toBe(key);
    const keys = { primary: 'a', a: plain.out.trim(), b: key };
    const store = await openStore('sqlite::memory:', { keys });
    const { config } = await store.connectors.create({ name: 'c', connectorType: 'own', config: { t: secret('s') } });
    expect((config.t as Secret).reveal()).toBe('s');
    await store.close();
  });

  it('explains itself', async () => {
    const { code, out } = await twDb(['--help']);
    expect(code).toBe(0);
    expect(out).toContain('migrate');
    expect(out).toContain('Exit codes');
  });

  it.each([
    [url, 'postgres://tw:***@127.0.0.1:1/none'],
    ['postgres://tw:p%40ss:w@rd@h/d?password=x&sslmode=require', 'postgres://tw:***@h/d?password=***&sslmode=require'],
    ['postgres://h/d', 'postgres://h/d'],
    ['sqlite:data/x.db', 'sqlite:data/x.db'],
  ])('masks %s', (from, to) => {
    expect(maskUrl(from)).toBe(to);
  });
});
