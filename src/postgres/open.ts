import { migrations } from 'migrations:postgres';
import type Postgres from 'postgres';
import { ConfigurationError, DriverMissingError } from '../errors.ts';
import { Migrator } from '../migrations/migrator.ts';
import type { JsonSchemas, NoSchemas } from '../model/schema.ts';
import { type PostgresOptions, parseOptions, postgresOptions, settingsOf } from '../options.ts';
import { Store } from '../store.ts';
import { dialect } from './dialect.ts';
import { PostgresConnection } from './driver.ts';
import { migrationTarget } from './migrations.ts';
import type { Client } from './pool.ts';
import { ReplicatedConnection } from './replicas.ts';
import { OneSocket } from './socket.ts';
import { checkPostgresUrl, hostsOf, verifies } from './url.ts';

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
  checkPostgresUrl(url);
  const driver = await load();
  const pool = (of: string) => new PostgresConnection((onclose) => connect(driver, of, rest, onclose), rest);
  for (const replica of rest.replicas) checkPostgresUrl(replica);
  const primary = pool(url);
  const connection = rest.replicas.length ? new ReplicatedConnection(primary, rest.replicas.map(pool)) : primary;
  const migrator = new Migrator(migrationTarget(primary), migrations);
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

const asText = (value: unknown) => value;

/** How its server is reached. */
function reaching(url: string, ssl: PostgresOptions['ssl']): { readonly socket: OneSocket; readonly options: object } {
  const hosts = hostsOf(url);
  const [first] = hosts;
  const socket = new OneSocket(hosts);
  const given = ssl === undefined ? {} : { ssl };
  // the driver chooses among its servers by their state, with sockets of its own
  if (hosts.length > 1 && /[?&]target_session_attrs=/.test(url)) return { socket, options: given };
  return {
    socket,
    options: {
      socket: socket.open,
      ...(first ? { host: [first.host], port: [first.port] } : {}),
      ...(verifies(url, ssl) ? { ssl: { checkServerIdentity: socket.verify } } : given),
    },
  };
}

interface ConnectOptions {
  readonly connectTimeoutSeconds?: number | undefined;
  readonly prepare: boolean;
  readonly ssl?: PostgresOptions['ssl'] | undefined;
  readonly applicationName: string;
  readonly durability: 'power-loss' | 'process';
}

function connect(postgres: typeof Postgres, url: string, options: ConnectOptions, onclose: () => void): Client {
  const { connectTimeoutSeconds, prepare, ssl, applicationName, durability } = options;
  const { socket, options: how } = reaching(url, ssl);
  try {
    const sql = postgres(url, {
      ...how,
      max: 1, // a client is one connection: see pool.ts
      onclose,
      ...(connectTimeoutSeconds === undefined ? {} : { connect_timeout: connectTimeoutSeconds }),
      prepare,
      idle_timeout: 0, // the pool ends connections
      max_lifetime: 0,
      fetch_types: false, // a query at every connect, for arrays, which the schema does not have
      onnotice: () => {},
      // the codecs own the conversion: the driver hands over and takes text, or jsonb would be encoded twice
      types: {
        timestamptz: { to: 1184, from: [1184], serialize: asText, parse: asText },
        jsonb: { to: 3802, from: [114, 3802], serialize: asText, parse: asText },
      } as unknown as Record<string, Postgres.PostgresType>,
      connection: {
        application_name: applicationName,
        // what timestamps are read by; PgBouncer keeps these two per client
        TimeZone: 'UTC',
        DateStyle: 'ISO',
        ...(durability === 'process' ? { synchronous_commit: 'off' } : {}),
      } as Partial<Postgres.ConnectionParameters>,
    }) as Postgres.Sql;
    return { sql, destroy: () => socket.destroy() };
  } catch {
    // no cause: the driver's message may quote the URL
    throw new ConfigurationError('PostgreSQL URL: the driver cannot read it');
  }
}
