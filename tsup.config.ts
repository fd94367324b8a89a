import { defineConfig } from 'tsup';
import { esbuildPlugin } from './build/embed-migrations.ts';

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'sqlite/open': 'src/sqlite/open.ts',
    'sqlite/schema': 'src/sqlite/schema.ts',
    'postgres/open': 'src/postgres/open.ts',
    'postgres/schema': 'src/postgres/schema.ts',
    'interop/express-session': 'src/interop/express-session.ts',
    'interop/tower-sessions': 'src/interop/tower-sessions.ts',
    'cli/main': 'src/cli/main.ts',
  },
  format: ['esm', 'cjs'],
  target: 'node20',
  // also in CommonJS, so that an error has one class whichever entry it came through
  splitting: true,
  dts: {
    // the declarations are of the public surface alone: Drizzle's types stay inside
    compilerOptions: { stripInternal: true },
    entry: {
      index: 'src/index.ts',
      'sqlite/open': 'src/sqlite/open.ts',
      'sqlite/schema': 'src/sqlite/schema.ts',
      'postgres/open': 'src/postgres/open.ts',
      'postgres/schema': 'src/postgres/schema.ts',
      'interop/express-session': 'src/interop/express-session.ts',
      'interop/tower-sessions': 'src/interop/tower-sessions.ts',
    },
  },
  sourcemap: true,
  clean: true,
  treeshake: false,
  // import.meta.url in CommonJS
  shims: true,
  external: ['better-sqlite3', 'postgres', 'drizzle-orm', 'express-session'],
  esbuildPlugins: [esbuildPlugin(import.meta.dirname) as never],
});
