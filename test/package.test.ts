/** The packed tarball, in fresh projects that have only one of the two drivers. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SHARED_BACKENDS, type TestDatabase } from './support/databases.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'tw-package-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const npm = (cwd: string, ...args: readonly string[]) =>
  execFileSync('npm', args, {
    cwd,
    encoding: 'utf8',
    stdio: 'pipe',
    env: { ...process.env, npm_config_update_notifier: 'false' },
  });

let tarball = '';
beforeAll(() => {
  // --ignore-scripts: dist is what the tests run on, and a rebuild would pull it away from under them
  const [packed] = JSON.parse(npm(ROOT, 'pack', '--json', '--ignore-scripts', '--pack-destination', work)) as {
    filename: string;
  }[];
  tarball = join(work, packed?.filename ?? '');
});

/** A project that has the package, Drizzle, and this driver; the driver is linked, since it would be compiled anew. */
function project(name: string, type: 'module' | 'commonjs', driver: string): string {
  const folder = join(work, name);
  mkdirSync(folder);
  const version = (of: string) =>
    JSON.parse(readFileSync(join(ROOT, 'node_modules', of, 'package.json'), 'utf8')).version as string;
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({
      name,
      private: true,
      type,
      dependencies: {
        '@triage-warden/db': `file:${tarball}`,
        'drizzle-orm': version('drizzle-orm'),
        [driver]: `file:${join(ROOT, 'node_modules', driver)}`,
        'express-session': `file:${join(ROOT, 'node_modules/express-session')}`,
      },
    }),
  );
  npm(folder, 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline');
  return folder;
}

const SCRIPT = `
  const run = async ({ openStore, NotFoundError, secret, generateKey }, open, { SessionStore }, tower) => {
    const store = await open(process.env.URL_OF_TEST, { keys: { primary: 'k', k: generateKey() } });
    const connector = await store.connectors.create({ name: 'c', connectorType: 'own', config: { token: secret('t') } });
    const sessions = new SessionStore(store);
    await new Promise((done) => sessions.set('sid', { cookie: {}, n: 1 }, done));
    const session = await new Promise((done) => sessions.get('sid', (error, value) => done(error ?? value)));
    const record = { id: tower.newSessionId(), data: { n: 1 }, expiry: new Date(0) };
    const { id } = await store.incidents.create({ source: { siem: 's' }, severity: 'low', alertData: { a: 1 } });
    const again = await openStore(process.env.URL_OF_TEST, { migrations: 'verify' });
    const read = await again.incidents.get(id);
    const missing = await again.incidents.get('00000000-0000-7000-8000-000000000000').catch((error) => error);
    const other = await openStore(process.env.OTHER_URL).catch((error) => error);
    await store.close();
    await again.close();
    console.log(JSON.stringify({ read: read.alertData, missing: missing instanceof NotFoundError, other: other.message, code: other.code,
      secret: connector.config.token.reveal(), printed: JSON.stringify(connector.config), session,
      record: tower.decodeSession(tower.encodeSession(record)).data }));
  };
`;

const DRIVERS = { sqlite: 'better-sqlite3', postgres: 'postgres' } as const;

describe.each(SHARED_BACKENDS)('the packed tarball · $name', ({ dialect, create }) => {
  const driver = DRIVERS[dialect];
  const missing = dialect === 'sqlite' ? DRIVERS.postgres : DRIVERS.sqlite;
  const openName = dialect === 'sqlite' ? 'openSqliteStore' : 'openPostgresStore';
  const otherUrl = dialect === 'sqlite' ? 'postgres://127.0.0.1:1/d' : 'sqlite::memory:';

  it.each(['module', 'commonjs'] as const)(
    'migrates and uses a store from a %s project, without the other driver',
    async (type) => {
      // R-M6, R-O5
      const folder = project(`${dialect}-${type}`, type, driver);
      expect(existsSync(join(folder, 'node_modules', missing))).toBe(false);
      const script =
        type === 'module'
          ? `import * as db from '@triage-warden/db'; import { ${openName} } from '@triage-warden/db/${dialect}';
             import * as express from '@triage-warden/db/express-session'; import * as tower from '@triage-warden/db/tower-sessions';
             ${SCRIPT} await run(db, ${openName}, express, tower);`
          : `const db = require('@triage-warden/db'); const { ${openName} } = require('@triage-warden/db/${dialect}');
             const express = require('@triage-warden/db/express-session'); const tower = require('@triage-warden/db/tower-sessions');
             ${SCRIPT} run(db, ${openName}, express, tower);`;
      const main = join(folder, 'main.js');
      writeFileSync(main, script);
      const database: TestDatabase = await create({ empty: true });
      const elsewhere = mkdtempSync(join(work, 'cwd-')); // found from any working directory
      const out = execFileSync(process.execPath, [main], {
        cwd: elsewhere,
        encoding: 'utf8',
        env: { ...process.env, URL_OF_TEST: database.url, OTHER_URL: otherUrl },
      });
      expect(JSON.parse(out)).toEqual({
        read: { a: 1 },
        missing: true, // one class of each error, whichever entry it came through
        other: expect.stringContaining(`npm install ${missing}`),
        code: 'driver_missing',
        secret: 't',
        printed: '{"token":"[redacted]"}',
        session: { cookie: {}, n: 1 },
        record: { n: 1 },
      });
      const shown = execFileSync(
        join(folder, 'node_modules/.bin/tw-db'),
        ['status', '--json', '--database-url', database.url],
        { encoding: 'utf8' },
      );
      expect(JSON.parse(shown).pending).toEqual([]);
      await database.drop();
    },
  );
});

describe('the packed tarball', () => {
  it('holds the built code, the migrations and the documents, and nothing else', () => {
    const files = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((file) => file.replace('package/', ''));
    const outside = files.filter(
      (file) => !/^(dist\/|drizzle\/(sqlite|postgres)\/|(package\.json|README\.md|CHANGELOG\.md|LICENSE)$)/.test(file),
    );
    expect(outside).toEqual([]);
    for (const dialect of ['sqlite', 'postgres'])
      for (const name of readdirSync(join(ROOT, 'drizzle', dialect)).filter((file) => file.endsWith('.sql')))
        expect(files).toContain(`drizzle/${dialect}/${name}`);
    expect(files).toContain('CHANGELOG.md');
  });

  it('declares as values what is there as a value, and the rest as types', async () => {
    // F-F3: a class that is only a type compiles, and is undefined
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      exports: Record<string, string | Record<'import' | 'require', { types: string; default: string }>>;
    };
    const require = createRequire(import.meta.url);
    let entries = 0;
    for (const entry of Object.values(exports)) {
      if (typeof entry === 'string') continue;
      for (const how of ['import', 'require'] as const) {
        const { types, default: code } = entry[how];
        const program = ts.createProgram([join(ROOT, types)], { skipLibCheck: true });
        const checker = program.getTypeChecker();
        const source = program.getSourceFile(join(ROOT, types));
        const symbol = source && checker.getSymbolAtLocation(source);
        const declared = symbol ? checker.getExportsOfModule(symbol) : [];
        const values = declared.filter((name) => {
          const specifier = name.declarations?.[0];
          if (specifier && ts.isExportSpecifier(specifier) && specifier.isTypeOnly) return false;
          const target = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name;
          return (target.flags & ts.SymbolFlags.Value) !== 0;
        });
        const module: object =
          how === 'import' ? await import(pathToFileURL(join(ROOT, code)).href) : require(join(ROOT, code));
        const there = Object.keys(module).filter((key) => key !== '__esModule');
        expect({ types, names: values.map(({ name }) => name).toSorted() }).toEqual({ types, names: there.toSorted() });
        entries++;
      }
    }
    expect(entries).toBeGreaterThan(10);
  });
});
