import { fileURLToPath } from 'node:url';
import { readMigrations } from '../../build/embed-migrations.ts';

/** The names of the package's migrations, in order: the same on both databases. */
export const MIGRATIONS: readonly string[] = readMigrations(
  fileURLToPath(new URL('../../drizzle/sqlite', import.meta.url)),
).map(({ name }) => name);
