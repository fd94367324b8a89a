/** The migrations in drizzle/, embedded when the package is built: see build/embed-migrations.ts. */
declare module 'migrations:sqlite' {
  import type { Migration } from './migrator.ts';
  export const migrations: readonly Migration[];
}

declare module 'migrations:postgres' {
  import type { Migration } from './migrator.ts';
  export const migrations: readonly Migration[];
}
