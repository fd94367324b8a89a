/** Makes `migrations:sqlite` and `migrations:postgres` modules that hold the SQL of drizzle/, for tsup and for vitest. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Migration } from '../src/migrations/migrator.ts';

const SPECIFIER = /^migrations:(sqlite|postgres)$/;

interface Journal {
  readonly entries: readonly { readonly tag: string; readonly when: number }[];
}

/** Reads a folder that drizzle-kit wrote, with the hashes and the splitting of drizzle's own migrator. */
export function readMigrations(folder: string): Migration[] {
  const journal = JSON.parse(readFileSync(join(folder, 'meta/_journal.json'), 'utf8')) as Journal;
  return journal.entries.map(({ tag, when }) => {
    const sql = readFileSync(join(folder, `${tag}.sql`), 'utf8');
    return {
      name: tag,
      when,
      hash: createHash('sha256').update(sql).digest('hex'),
      statements: sql
        .split('--> statement-breakpoint')
        .map((statement) => statement.trim())
        .filter(Boolean),
    };
  });
}

const moduleText = (root: string, specifier: string) => {
  const folder = join(root, 'drizzle', specifier.replace(SPECIFIER, '$1'));
  return `export const migrations = ${JSON.stringify(readMigrations(folder))};`;
};

/** For esbuild, which tsup runs. Typed by what it uses, since esbuild is tsup's own dependency. */
export const esbuildPlugin = (root: string) => ({
  name: 'embed-migrations',
  setup(build: {
    onResolve(on: { filter: RegExp }, to: (found: { path: string }) => { path: string; namespace: string }): void;
    onLoad(on: { filter: RegExp; namespace: string }, to: (found: { path: string }) => { contents: string }): void;
  }) {
    build.onResolve({ filter: SPECIFIER }, ({ path }) => ({ path, namespace: 'migrations' }));
    build.onLoad({ filter: /.*/, namespace: 'migrations' }, ({ path }) => ({ contents: moduleText(root, path) }));
  },
});

/** For vite, which vitest runs. */
export const vitePlugin = (root: string) => ({
  name: 'embed-migrations',
  resolveId: (id: string) => (SPECIFIER.test(id) ? `\0${id}` : undefined),
  load: (id: string) =>
    id.startsWith('\0') && SPECIFIER.test(id.slice(1)) ? moduleText(root, id.slice(1)) : undefined,
});
