import { isIPv6 } from 'node:net';
import { ConfigurationError } from '../errors.ts';
import type { Host } from './socket.ts';

const ARE_OPTIONS: Readonly<Record<string, string>> = {
  max: 'poolSize',
  idle_timeout: 'idleTimeoutSeconds',
  max_lifetime: 'maxLifetimeSeconds',
  prepare: 'prepare',
  synchronous_commit: 'durability',
};
/** What the library sets, and relies on. */
const ARE_SET = ['max_pipeline', 'backoff', 'fetch_types', 'debug', 'publications', 'timezone', 'datestyle'];

/**
 * Checks a `postgres://` or `postgresql://` URL. The error never quotes it: it may hold a password.
 *
 * @throws ConfigurationError
 */
export function checkPostgresUrl(url: string): void {
  let parsed: URL;
  try {
    parsed = withOneHost(url);
  } catch {
    throw new ConfigurationError(
      'PostgreSQL URL: it cannot be read; write postgres://user:password@host:port/database',
    );
  }
  if (parsed.protocol !== 'postgres:' && parsed.protocol !== 'postgresql:')
    throw new ConfigurationError('PostgreSQL URL: it starts with postgres:// or postgresql://');
  hostsOf(url);
  for (const [name, value] of parsed.searchParams) {
    const option = ARE_OPTIONS[name];
    if (option)
      throw new ConfigurationError(`PostgreSQL URL: instead of the parameter '${name}', give the option '${option}'`);
    if (ARE_SET.includes(name.toLowerCase()))
      throw new ConfigurationError(`PostgreSQL URL: the parameter '${name}' cannot be set`);
    if (name === 'connect_timeout' && !(Number(value) > 0 && Number(value) <= 2_147_483))
      throw new ConfigurationError("PostgreSQL URL: the parameter 'connect_timeout' is a number of seconds");
  }
}

/** What `URL` reads: of several hosts, it takes none. What follows the hosts may hold commas. */
function withOneHost(url: string): URL {
  const [, start = '', hosts = '', rest = ''] = /^(\w+:\/\/(?:[^/?#]*@)?)([^/?#]*)(.*)$/s.exec(url) ?? [];
  return new URL(hosts.includes(',') ? `${start}${hosts.replace(/,.*/s, '')}${rest}` : url);
}

/**
 * Where the server may be, where the driver would take that apart wrongly, or never give up: several hosts, or an IPv6 address, of the URL or else of
 * PGHOST. Otherwise none.
 *
 * @throws ConfigurationError
 */
export function hostsOf(url: string): readonly Host[] {
  const [authority = ''] = url.slice(url.indexOf('://') + 3).split(/[/?#]/);
  const text = authority.slice(authority.lastIndexOf('@') + 1) || process.env.PGHOST || '';
  if (isIPv6(text)) return [{ host: text, port: portOf(undefined) }];
  if (!text.includes(',') && !text.startsWith('[')) return [];
  return text.split(',').map((one) => {
    const [, address, name, port] = /^(?:\[([^[\]]+)\]|([^[\]:]+))(?::(\d{1,5}))?$/.exec(one) ?? [];
    const host = address ?? name;
    if (!host || (address && !isIPv6(address)))
      throw new ConfigurationError(
        'PostgreSQL URL: a host is a name or an address, with a port or without, as in a:5432,[::1]:5432',
      );
    return { host, port: portOf(port) };
  });
}

function portOf(text: string | undefined): number {
  const port = Number(text ?? process.env.PGPORT ?? 5432);
  if (!(Number.isInteger(port) && port > 0 && port < 65_536))
    throw new ConfigurationError('PostgreSQL URL: a port is a number from 1 to 65535');
  return port;
}

/** Whether a certificate is asked for and looked at: what the option `ssl`, the URL or PGSSL says. */
export function verifies(url: string, ssl: boolean | string | undefined): boolean {
  const { searchParams } = withOneHost(url);
  const asked =
    searchParams.get('sslrootcert') === 'system'
      ? 'verify-full'
      : (searchParams.get('sslmode') ?? searchParams.get('ssl'));
  const mode = String(ssl ?? asked ?? process.env.PGSSL ?? 'disable');
  return !['disable', 'false', 'require', 'allow', 'prefer', ''].includes(mode);
}
