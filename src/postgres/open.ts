import { migrations } from 'migrations:postgres';
import type Postgres from 'postgres';
import { DriverMissingError } from '../errors.ts';
import { Migrator } from '../migrations/migrator.ts';
import type { JsonSchemas, NoSchemas } from '../model/schema.ts';
import { type PostgresOptions, parseOptions, postgresOptions, settingsOf } from '../options.ts';
import { Store } from '../store.ts';
import { Dialer } from './dial.ts';
import { dialect } from './dialect.ts';
import { PostgresConnection } from './driver.ts';
import { migrationTarget } from './migrations.ts';
import { ReplicatedConnection } from './replicas.ts';
import { type PostgresTarget, parsePostgresUrl } from './target.ts';

export type { PostgresOptions } from '../options.ts';
export type { Store } from '../store.ts';

/**
 * Opens a PostgreSQL store.
 *
 * @example
 * const store = await openPostgresStore('postgres://user:password@host/database', { poolSize: 4 })
 *
 * @throws ConfigurationError, DriverMissingError, ConnectionError, MigrationError.
 */
export async function openPostgresStore<const J extends JsonSchemas = NoSchemas>(
  url: string,
  options: PostgresOptions<J> = {},
): Promise<Store<J>> {
  const { migrations: how, ...rest } = parseOptions(postgresOptions, options);
  const settings = settingsOf({ migrations: how, ...rest });
  const { ssl } = rest;
  const target = parsePostgresUrl(url, { ssl });
  const replicas = rest.replicas.map((replica) => parsePostgresUrl(replica, { ssl, isReplica: true }));
  const driver = await load();
  const connect = (to: PostgresTarget) => new PostgresConnection(new Dialer(driver, to, rest), rest);
  const primary = connect(target);
  const connection = replicas.length ? new ReplicatedConnection(primary, replicas.map(connect)) : primary;
  const migrator = new Migrator(migrationTarget(primary, rest.migrationTimeoutMs), migrations);
  const store = new Store<J>({ connection, dialect, migrator, settings });
  try {
    if (how === 'auto') await migrator.migrate();
    else if (how === 'verify') await migrator.verify();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

async function load(): Promise<typeof Postgres> {
  try {
    return (await import('postgres')).default;
  } catch (error) {
    if (error instanceof Error && 'code' in error && /MODULE_NOT_FOUND/.test(String(error.code)))
      throw new DriverMissingError('postgres');
    throw error;
  }
}
