/** Connections under TLS, to a real server with a certificate of its own. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPostgresStore } from '../../src/postgres/open.ts';
import { type RunningServer, startEmbeddedServer } from '../support/embedded-server.ts';
import { newIncident } from '../support/fixtures.ts';

const NOBODY = 65534;
const folder = mkdtempSync(join(tmpdir(), 'tw-tls-'));
const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
let server: RunningServer;

function certify(name: string): void {
  const what = [
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=db',
    '-addext',
    `subjectAltName=${name}`,
  ];
  execFileSync('openssl', ['req', ...what, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  chmodSync(folder, 0o755);
  chmodSync(key, 0o600);
  if (process.getuid?.() === 0) chownSync(key, NOBODY, NOBODY);
}

beforeAll(async () => {
  certify('DNS:localhost');
  server = await startEmbeddedServer([
    '-c',
    'ssl=on',
    '-c',
    `ssl_key_file=${key}`,
    '-c',
    `ssl_cert_file=${certificate}`,
  ]);
}, 60_000);
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const url = (mode: string) => {
  const own = new URL(server.url);
  own.searchParams.set('sslmode', mode);
  return own.href;
};

it('encrypts where it is asked to, and not otherwise', async () => {
  for (const [mode, encrypted] of [
    ['require', true],
    ['prefer', true],
    ['disable', false],
  ] as const) {
    const store = await openPostgresStore(url(mode));
    const { rows } = await Reflect.get(store, 'cx').driver.exec({
      sql: 'select ssl from pg_stat_ssl where pid = pg_backend_pid()',
      params: [],
      reads: true,
    });
    expect(rows[0]?.[0]).toBe(encrypted);
    await store.incidents.create(newIncident({ alertData: 'x'.repeat(100_000) }));
    await store.close();
  }
});

it('does what PGSSLMODE asks for, and verifies the authority alone by verify-ca', async () => {
  // F-H7: PGSSLMODE was ignored, and the connection a plain one
  const isEncrypted = async (query: string) => {
    const store = await openPostgresStore(`${server.url}${query}`, { migrations: 'off' });
    try {
      const { rows } = await Reflect.get(store, 'cx').driver.exec({
        sql: 'select ssl from pg_stat_ssl where pid = pg_backend_pid()',
        params: [],
        reads: true,
      });
      return rows[0]?.[0];
    } finally {
      await store.close();
    }
  };
  const file = encodeURIComponent(certificate);
  const before = process.env.PGSSLMODE;
  try {
    process.env.PGSSLMODE = 'require';
    expect(await isEncrypted('')).toBe(true);
    expect(await isEncrypted('?sslmode=disable')).toBe(false);
    process.env.PGSSLMODE = 'verify-ca';
    expect(await isEncrypted(`?sslrootcert=${file}`)).toBe(true); // it is for localhost
    await expect(isEncrypted('')).rejects.toMatchObject({ code: 'connection', reason: 'tls', retryable: false });
    process.env.PGSSLMODE = 'verify-full';
    await expect(isEncrypted(`?sslrootcert=${file}`)).rejects.toMatchObject({ code: 'connection', reason: 'tls' });
  } finally {
    if (before === undefined) delete process.env.PGSSLMODE;
    else process.env.PGSSLMODE = before;
  }
});

it('verifies the certificate of an address as one', () => {
  // a process of its own, which trusts the certificate
  const open = (mode: string) =>
    execFileSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { openStore } from './dist/index.js';
         const store = await openStore(${JSON.stringify(url(mode))}).catch((error) => console.log(error.cause.code));
         if (store) console.log('open');
         await store?.close();`,
      ],
      {
        encoding: 'utf8',
        cwd: new URL('../..', import.meta.url),
        env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'certificate.pem') },
      },
    ).trim();
  expect(new URL(server.url).hostname).toBe('127.0.0.1');
  expect(open('verify-full')).toBe('ERR_TLS_CERT_ALTNAME_INVALID'); // it is for localhost
  certify('IP:127.0.0.1');
  execFileSync('kill', ['-HUP', String(server.pid)]);
  expect(open('verify-full')).toBe('open');
});

it('refuses a certificate that nobody vouches for, when it is to be verified', async () => {
  const error = await openPostgresStore(url('verify-full')).catch((thrown) => thrown);
  expect(error).toMatchObject({ code: 'connection' });
  expect(error.cause.code).toMatch(/CERT/);
});
