/** libpq's `sslmode` → what the driver takes. */
import { readFileSync } from 'node:fs';
import { createSecureContext, type PeerCertificate, type SecureContextOptions } from 'node:tls';
import { ConfigurationError } from '../errors.ts';

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type TlsMode = (typeof MODES)[number];

/** How a connection is encrypted. `prefer` goes on without where the server has no TLS. */
export type Tls = false | 'prefer' | TlsOptions;

export interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** Undefined: the certificate must be that of the host. */
  readonly checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined;
}

interface Asked {
  readonly mode: boolean | string | undefined;
  /** Files, PEM. */
  readonly rootCertificate: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

/**
 * By default no encryption. As libpq: `require` with a root certificate verifies it; `allow`, which would try without encryption first, is taken for
 * `prefer`. `true` verifies all.
 *
 * @throws ConfigurationError for a mode that is none, or a file that cannot be read.
 */
export function tlsOf({ mode: asked, rootCertificate, certificate, key }: Asked): Tls {
  const isSystem = rootCertificate === 'system';
  let mode = modeOf(asked ?? (isSystem ? 'verify-full' : 'disable'));
  if (isSystem && mode !== 'disable') mode = 'verify-full';
  if (mode === 'disable') return false;
  if (mode === 'require' && rootCertificate !== undefined) mode = 'verify-ca';
  if (mode === 'prefer' || mode === 'allow') return 'prefer';
  const files = {
    ...(rootCertificate === undefined || isSystem ? {} : { ca: fileOf('sslrootcert', rootCertificate) }),
    ...(certificate === undefined ? {} : { cert: fileOf('sslcert', certificate) }),
    ...(key === undefined ? {} : { key: fileOf('sslkey', key) }),
  };
  checkFiles(files);
  if (mode === 'require') return { ...files, rejectUnauthorized: false };
  return mode === 'verify-ca'
    ? { ...files, rejectUnauthorized: true, checkServerIdentity: () => undefined }
    : { ...files, rejectUnauthorized: true };
}

function modeOf(asked: boolean | string): TlsMode {
  if (asked === true || asked === 'true') return 'verify-full';
  if (asked === false || asked === 'false' || asked === '') return 'disable';
  const mode = MODES.find((one) => one === asked);
  if (!mode) throw new ConfigurationError(`TLS: sslmode is one of ${MODES.join(', ')}`);
  return mode;
}

/** What Node cannot read would end the process when the driver uses it. */
function checkFiles(files: SecureContextOptions): void {
  try {
    createSecureContext(files);
  } catch {
    throw new ConfigurationError(
      'TLS: sslrootcert, sslcert or sslkey cannot be used: PEM files are needed, a key without a passphrase, and the one of its certificate',
    );
  }
}

function fileOf(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    throw new ConfigurationError(`TLS: the file of ${name} cannot be read`);
  }
}
