/** A `postgres://` URL, with libpq's environment behind it → which servers, as whom, and how. Nothing here ever quotes it: it may hold a password. */
import { isIPv6 } from 'node:net';
import { userInfo } from 'node:os';
import { ConfigurationError } from '../errors.ts';
import { type Tls, type TlsMode, tlsOf } from './tls.ts';

/** Where a server listens: on a port of a host, or on a Unix socket. */
export type Host = { readonly host: string; readonly port: number; readonly path?: undefined } | SocketPath;
interface SocketPath {
  readonly path: string;
  readonly host: string;
  readonly port: number;
}

const ROLES = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
/** What `target_session_attrs` asks of a server, as libpq defines it. */
export type Role = (typeof ROLES)[number];

export interface PostgresTarget {
  /** To be tried in turn. */
  readonly hosts: readonly Host[];
  readonly role: Role;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tls: Tls;
  readonly isTlsDirect: boolean;
  readonly connectTimeoutMs: number | undefined;
  /** Milliseconds after which an idle socket is asked for a sign of life; undefined: never. */
  readonly keepAliveMs: number | undefined;
  /** What the server is told of this client when it connects: `application_name`, `search_path`, `options` … */
  readonly parameters: Readonly<Record<string, string>>;
}

const ARE_OPTIONS: Readonly<Record<string, string>> = {
  max: 'poolSize',
  idle_timeout: 'idleTimeoutMs',
  max_lifetime: 'maxLifetimeMs',
  prepare: 'prepare',
  synchronous_commit: 'durability',
};

/** What the library sets, and relies on; and what of libpq, or of other clients, it cannot do. */
const CANNOT_BE_SET: ReadonlySet<string> = new Set([
  ...['max_pipeline', 'backoff', 'fetch_types', 'debug', 'publications', 'keep_alive'],
  ...['timezone', 'datestyle', 'client_encoding', 'replication'],
  ...[
    'keepalives_interval',
    'keepalives_count',
    'tcp_user_timeout',
    'load_balance_hosts',
    'require_auth',
    'requirepeer',
  ],
  ...[
    'passfile',
    'service',
    'servicefile',
    'krbsrvname',
    'hostaddr',
    'fallback_application_name',
    'requiressl',
    'gsslib',
    'gssdelegation',
    'sslcrl',
    'sslcrldir',
    'sslpassword',
  ],
  ...['sslcertmode', 'sslcompression', 'sslsni', 'ssl_min_protocol_version', 'ssl_max_protocol_version'],
  ...['schema', 'pgbouncer', 'connection_limit', 'pool_timeout', 'socket_timeout', 'statement_cache_size'],
]);

/** Of libpq, with the values that ask for nothing that the driver cannot do. */
const MAY_BE: Readonly<Record<string, readonly string[]>> = {
  channel_binding: ['disable', 'prefer'],
  gssencmode: ['disable', 'prefer'],
};

export interface UrlOptions {
  /** The option of this name, which goes before the URL. */
  readonly ssl?: boolean | TlsMode | undefined;
  /** Only reads go there: the role that the environment asks for is that of the primary. */
  readonly isReplica?: boolean;
}

/**
 * Reads a URL and the environment (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE, PGSSLROOTCERT, PGTARGETSESSIONATTRS, PGCONNECT_TIMEOUT).
 *
 * @throws ConfigurationError that names the parameter.
 */
export function parsePostgresUrl(url: string, { ssl, isReplica = false }: UrlOptions = {}): PostgresTarget {
  const parts = /^postgres(?:ql)?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?(?:#.*)?$/s.exec(url);
  if (!parts) {
    if (!/^postgres(ql)?:/.test(url)) throw invalid('it starts with postgres:// or postgresql://');
    throw invalid('it cannot be read; write postgres://user:password@host:port/database');
  }
  const [, authority = '', path = '', search = ''] = parts;
  const at = authority.lastIndexOf('@');
  const [user = '', ...password] = authority.slice(0, Math.max(at, 0)).split(':');
  const given = new URLSearchParams(search.replaceAll('+', '%2B')); // a + is a +, as for libpq
  const env = process.env;
  const take = (name: string, variable?: string): string | undefined => {
    const value = given.get(name) ?? (variable === undefined ? undefined : env[variable]);
    given.delete(name);
    return value || undefined;
  };

  const named = take('host'); // decoded already
  const hosts = hostsOf(named === undefined ? authority.slice(at + 1) : encodeURI(named), take('port', 'PGPORT'));
  const negotiation = take('sslnegotiation') ?? 'postgres';
  const name = decoded(user) || take('user', 'PGUSER') || env.PGUSERNAME || systemUser();
  const role = take('target_session_attrs', isReplica ? undefined : 'PGTARGETSESSIONATTRS');
  if (role !== undefined && !isRole(role))
    throw invalid(`the parameter 'target_session_attrs' is one of ${ROLES.join(', ')}`);
  const seconds = take('connect_timeout', 'PGCONNECT_TIMEOUT');
  if (seconds !== undefined && !(Number(seconds) >= 0 && Number(seconds) <= 2_147_483))
    throw invalid("the parameter 'connect_timeout' is a number of seconds");
  const target: Omit<PostgresTarget, 'parameters'> = {
    hosts,
    // a store writes: where there are several hosts, it looks for the one that takes writes
    role: role ?? (hosts.length > 1 && !isReplica ? 'read-write' : 'any'),
    user: name,
    password: decoded(password.join(':')) || take('password', 'PGPASSWORD') || '',
    database: decoded(path) || take('dbname', 'PGDATABASE') || name,
    tls: tlsOf({
      mode: ssl ?? take('sslmode') ?? take('ssl') ?? env.PGSSLMODE ?? env.PGSSL,
      rootCertificate: take('sslrootcert', 'PGSSLROOTCERT'),
      certificate: take('sslcert', 'PGSSLCERT'),
      key: take('sslkey', 'PGSSLKEY'),
    }),
    isTlsDirect: negotiation === 'direct',
    connectTimeoutMs: Number(seconds) > 0 ? Math.ceil(Number(seconds) * 1000) : undefined,
    keepAliveMs: take('keepalives') === '0' ? undefined : 1000 * (Number(take('keepalives_idle')) || 60),
  };
  if (negotiation !== 'postgres' && !(negotiation === 'direct' && typeof target.tls === 'object'))
    throw invalid("the parameter 'sslnegotiation' is postgres, or direct with sslmode=require or stricter");
  for (const used of ['sslmode', 'ssl', 'user', 'password', 'dbname', 'keepalives_idle']) given.delete(used);
  for (const [parameter, value] of given) refuse(parameter, value);
  return { ...target, parameters: Object.fromEntries([...given].filter(([parameter]) => !(parameter in MAY_BE))) };
}

function refuse(parameter: string, value: string): void {
  const option = Object.hasOwn(ARE_OPTIONS, parameter) ? ARE_OPTIONS[parameter] : undefined;
  if (option) throw invalid(`instead of the parameter '${parameter}', give the option '${option}'`);
  if (CANNOT_BE_SET.has(parameter.toLowerCase())) throw invalid(`the parameter '${parameter}' cannot be set`);
  const allowed = Object.hasOwn(MAY_BE, parameter) ? MAY_BE[parameter] : undefined;
  if (allowed && !allowed.includes(value))
    throw invalid(`the parameter '${parameter}' can only be one of ${allowed.join(', ')}`);
}

/** `a`, `a:5432`, `[::1]:5432`, `/var/run/postgresql`, and several of them with commas; PGHOST, which may be a bare IPv6 address, where there is none. */
function hostsOf(given: string, ports: string | undefined): readonly Host[] {
  const text = given || encodeURI(process.env.PGHOST ?? '') || 'localhost';
  const names = text.split(',');
  const port = (i: number) => ports?.split(',')[i] ?? ports?.split(',')[0];
  return names.map((raw, i) => {
    const one = decoded(raw);
    const [, folder = '', behind] = /^(.*?)(?::(\d{1,5}))?$/s.exec(one) ?? [];
    if (folder.startsWith('/')) {
      const number = portOf(behind ?? port(i));
      return { host: folder, port: number, path: `${folder}/.s.PGSQL.${number}` };
    }
    if (isIPv6(one)) return { host: one, port: portOf(port(i)) };
    const [, address, name, own] = /^(?:\[([^[\]]+)\]|([^[\]:/?#@\s]+))(?::(\d{1,5}))?$/.exec(one) ?? [];
    const host = address ?? name;
    if (!host || (address && !isIPv6(address)))
      throw invalid('a host is a name or an address, with a port or without, as in a:5432,[::1]:5432');
    return { host, port: portOf(own ?? port(i)) };
  });
}

function portOf(text = '5432'): number {
  const port = Number(text);
  if (!(Number.isInteger(port) && port > 0 && port < 65_536)) throw invalid('a port is a number from 1 to 65535');
  return port;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('it cannot be read: a % is written %25');
  }
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env.USER ?? 'postgres'; // the user of this process has no name, as in some containers
  }
}

const isRole = (text: string): text is Role => (ROLES as readonly string[]).includes(text);

const invalid = (what: string) => new ConfigurationError(`PostgreSQL URL: ${what}`);
