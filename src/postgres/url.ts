import { ConfigurationError } from '../errors.ts';

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
}
