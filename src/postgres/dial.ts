/** How connections are opened: the hosts of the URL in turn, each within its time, and only to a server of the role that is asked for. */

import { clearTimeout, setTimeout } from 'node:timers';
import type Postgres from 'postgres';
import { ConfigurationError, ConnectionError } from '../errors.ts';
import { type CallLimits, Client } from './client.ts';
import { connectFailure } from './errors.ts';
import { OneSocket } from './socket.ts';
import type { Host, PostgresTarget, Role } from './target.ts';

export interface DialOptions {
  readonly connectTimeoutMs?: number | undefined;
  readonly prepare: boolean;
  readonly applicationName: string;
  readonly durability: 'power-loss' | 'process';
}

const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;

/** The first statement of a new connection: until it has returned, no other is sent. */
const ROLE_QUERY = `select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'`;

interface ServerRole {
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
}

/** As libpq (14 and later) reads `target_session_attrs`. `prefer-standby` takes any in the end. */
const FITS: Readonly<Record<Role, (server: ServerRole) => boolean>> = {
  any: () => true,
  'read-write': ({ isReadOnly }) => !isReadOnly,
  'read-only': ({ isReadOnly }) => isReadOnly,
  primary: ({ isStandby }) => !isStandby,
  standby: ({ isStandby }) => isStandby,
  'prefer-standby': ({ isStandby }) => isStandby,
};

const asText = (value: unknown) => value;

export class Dialer {
  /** The host that was right the last time is tried first. */
  #first = 0;
  /** Sockets of connections that are being made. */
  readonly #making = new Set<OneSocket>();
  #isClosed = false;

  constructor(
    private readonly postgres: typeof Postgres,
    private readonly target: PostgresTarget,
    private readonly options: DialOptions,
  ) {}

  /**
   * Opens a connection.
   *
   * @throws ConnectionError with the reason of the last host that was tried.
   */
  async dial(): Promise<Client> {
    const { hosts, role } = this.target;
    const rounds: readonly Role[] = role === 'prefer-standby' ? [role, 'any'] : [role];
    let failure: unknown = new ConnectionError('closed');
    for (const wanted of rounds)
      for (let i = 0; i < hosts.length; i++) {
        if (this.#isClosed) throw new ConnectionError('closed');
        const at = (this.#first + i) % hosts.length;
        try {
          const client = await this.#open(hosts[at] as Host, wanted); // i counts them
          this.#first = at;
          return client;
        } catch (error) {
          failure = error;
        }
      }
    throw failure;
  }

  /** Whether a server still says anything to a new connection: if only that it takes none. False where nothing comes, or no way leads there. */
  async isResponsive(host: Host, timeoutMs: number): Promise<boolean> {
    const socket = new OneSocket(host, undefined);
    try {
      const client = await this.#connect(host, socket, timeoutMs);
      void client.client.end(1_000);
      return true;
    } catch (error) {
      if (socket.bytesRead > 0 || !(error instanceof ConnectionError)) return true;
      const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
      // a refusal is a sign of life, and a name that cannot be looked up says nothing of the server
      return error.reason !== 'timeout' && code !== 'EHOSTUNREACH' && code !== 'ENETUNREACH';
    }
  }

  /** Whether the server that a client is connected to only reads, as a standby does. */
  async isStandby(client: Client, timeoutMs: number): Promise<boolean> {
    const limits: CallLimits = {
      acquireMs: timeoutMs,
      runMs: timeoutMs,
      deadline: Number.POSITIVE_INFINITY,
      whenLost: 'unknown',
      isCancellable: false,
    };
    const query = { sql: ROLE_QUERY, params: [], reads: true };
    const { rows } = await client.run(query, limits, performance.now());
    return rows[0]?.[0] === true;
  }

  /** Ends what is being made, and makes no more. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#making) socket.destroy();
  }

  async #open(host: Host, wanted: Role): Promise<Client> {
    const { connectTimeoutMs = this.target.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS } = this.options;
    const socket = new OneSocket(
      host,
      this.target.keepAliveMs,
      typeof this.target.tls === 'object' && !this.target.isTlsDirect,
    );
    const { client, role } = await this.#connect(host, socket, connectTimeoutMs);
    client.reconnects = role.isStandby || this.target.hosts.length > 1;
    if (FITS[wanted](role)) return client;
    void client.end(1_000);
    throw new ConnectionError('wrong_role');
  }

  /** A connection that has returned its first row. */
  async #connect(
    host: Host,
    socket: OneSocket,
    timeoutMs: number,
  ): Promise<{ readonly client: Client; readonly role: ServerRole }> {
    this.#making.add(socket);
    let timer: NodeJS.Timeout | undefined;
    try {
      let client: Client | undefined;
      const sql = this.#driver(host, socket, {
        onclose: () => client?.lose('lost'),
        onnotice: (notice) => client?.notice(notice),
      });
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new ConnectionError('timeout')), timeoutMs);
      });
      const [row] = await Promise.race([sql.unsafe(ROLE_QUERY).values(), late]);
      client = new Client(sql, socket, host, this.options.prepare);
      return { client, role: { isStandby: row?.[0] === true, isReadOnly: row?.[1] === true } };
    } catch (error) {
      socket.destroy();
      if (error instanceof ConfigurationError) throw error;
      throw this.#isClosed ? new ConnectionError('closed') : connectFailure(error);
    } finally {
      clearTimeout(timer);
      this.#making.delete(socket);
    }
  }

  #driver(host: Host, socket: OneSocket, events: Pick<Postgres.Options<never>, 'onclose' | 'onnotice'>): Postgres.Sql {
    const { user, password, database, tls, isTlsDirect, parameters } = this.target;
    const { applicationName, durability, prepare } = this.options;
    const options = {
      host: [host.host],
      port: [host.port],
      ...(host.path === undefined ? {} : { path: host.path }),
      user,
      pass: password,
      database,
      socket: socket.open,
      ssl:
        host.path !== undefined
          ? false // libpq: a socket of this machine is not encrypted
          : typeof tls === 'object' && tls.rejectUnauthorized && !tls.checkServerIdentity
            ? { ...tls, checkServerIdentity: socket.verify }
            : tls,
      sslnegotiation: isTlsDirect ? 'direct' : null,
      ...events,
      max: 1, // a client is one connection
      prepare,
      // times are limited, and connections ended, by the pool; 0 is none
      connect_timeout: 0,
      idle_timeout: 0,
      max_lifetime: 0,
      max_pipeline: 100,
      keep_alive: 0,
      backoff: 0,
      debug: false,
      publications: '',
      fetch_types: false, // a query at every connect, for arrays, which the schema does not have
      // the codecs own the conversion: the driver hands over and takes text, or jsonb would be encoded twice
      types: {
        timestamptz: { to: 1184, from: [1184], serialize: asText, parse: asText },
        jsonb: { to: 3802, from: [114, 3802], serialize: asText, parse: asText },
      },
      connection: {
        application_name: applicationName,
        // what timestamps are read by; PgBouncer keeps these two per client
        TimeZone: 'UTC',
        DateStyle: 'ISO',
        ...(durability === 'process' ? { synchronous_commit: 'off' } : {}),
        ...parameters,
      },
    };
    return withoutRoleVariable(() => this.postgres(options as unknown as Postgres.Options<Record<string, never>>));
  }
}

/**
 * postgres.js 3.4.9 reads PGTARGETSESSIONATTRS also where it is told not to look at roles: it takes a hot standby for one that takes writes, and
 * connects again without an end where no server fits.
 */
function withoutRoleVariable<T>(make: () => T): T {
  const { PGTARGETSESSIONATTRS: value } = process.env;
  if (value === undefined) return make();
  delete process.env.PGTARGETSESSIONATTRS;
  try {
    return make();
  } finally {
    process.env.PGTARGETSESSIONATTRS = value;
  }
}
