import { ConfigurationError } from './errors.ts';
import type { JsonSchemas, NoSchemas } from './model/schema.ts';
import type { PostgresOptions, SqliteOptions } from './options.ts';
import type { Store } from './store.ts';

/** The options of a store of either database: those of the other one are refused. */
export type OpenOptions<J = NoSchemas> = SqliteOptions<J> | PostgresOptions<J>;

/**
 * Opens the store that the URL names, `DATABASE_URL` by default, and loads only that driver: `sqlite:path`,
 * `sqlite://path?mode=rwc`, `sqlite::memory:`, `postgres://…`, `postgresql://…`. Pending migrations are applied unless
 * `migrations` says otherwise.
 *
 * @example
 * await using store = await openStore('sqlite:data/triage.db')
 *
 * @throws ConfigurationError, DriverMissingError, ConnectionError, MigrationError.
 */
export async function openStore<const J extends JsonSchemas = NoSchemas>(
  url: string | undefined = process.env.DATABASE_URL,
  options: OpenOptions<J> = {},
): Promise<Store<J>> {
  if (!url) throw new ConfigurationError('No database URL: pass one, or set DATABASE_URL');
  if (/^sqlite:/.test(url)) {
    const { openSqliteStore } = await import('./sqlite/open.ts');
    return openSqliteStore(url, options);
  }
  if (/^postgres(ql)?:\/\//.test(url)) {
    const { openPostgresStore } = await import('./postgres/open.ts');
    return openPostgresStore(url, options);
  }
  // the URL is not quoted: it may hold a password
  throw new ConfigurationError('The database URL starts with sqlite:, postgres:// or postgresql://');
}
