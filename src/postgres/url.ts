import { ConfigurationError } from '../errors.ts';

const ARE_OPTIONS: Readonly<Record<string, string>> = {
  max: 'poolSize',
  idle_timeout: 'idleTimeoutSeconds',
  max_lifetime: 'maxLifetimeSeconds',
  prepare: 'prepare',
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
    parsed = new URL(url.split(',')[0] === url ? url : url.replace(/,[^/?@]*/g, '')); // several hosts are the driver's own form
  } catch {
    throw new ConfigurationError(
      'PostgreSQL URL: it cannot be read; write postgres://user:password@host:port/database',
    );
  }
  if (parsed.protocol !== 'postgres:' && parsed.protocol !== 'postgresql:')
    throw new ConfigurationError('PostgreSQL URL: it starts with postgres:// or postgresql://');
  if (
    hasSeveralHosts(url) &&
    authorityOf(url)
      .split(',')
      .some((host) => !isHost(host))
  )
    throw new ConfigurationError(
      'PostgreSQL URL: several hosts are names or IPv4 addresses, each with a port or without',
    );
  for (const [name, value] of parsed.searchParams) {
    const option = ARE_OPTIONS[name];
    if (option)
      throw new ConfigurationError(`PostgreSQL URL: instead of the parameter '${name}', give the option '${option}'`);
    if (ARE_SET.includes(name.toLowerCase()))
      throw new ConfigurationError(`PostgreSQL URL: the parameter '${name}' cannot be set`);
    if (name === 'connect_timeout' && !(Number(value) > 0))
      throw new ConfigurationError("PostgreSQL URL: the parameter 'connect_timeout' is a number of seconds");
  }
}

const isHost = (text: string) => {
  const [, port] = /^[^[\]:]+(?::(\d{1,5}))?$/.exec(text) ?? ['', 'none'];
  return port === undefined || (Number(port) > 0 && Number(port) < 65_536);
};

const authorityOf = (url: string) => {
  const [authority = ''] = url.slice(url.indexOf('://') + 3).split(/[/?#]/);
  return authority.slice(authority.lastIndexOf('@') + 1);
};

/** Whether the URL, or PGHOST where it names none, gives more than one host. */
export const hasSeveralHosts = (url: string): boolean => (authorityOf(url) || process.env.PGHOST || '').includes(',');

/** The URL's host, where it is an IPv6 address: the driver would take it apart. */
export function ipv6Of(url: string): { readonly host: string; readonly port: number } | undefined {
  const [, host, port] = /^\[([^\]]+)\](?::(\d+))?$/.exec(authorityOf(url)) ?? [];
  return host ? { host, port: Number(port ?? process.env.PGPORT ?? 5432) } : undefined;
}
