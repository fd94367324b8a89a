/** F-H7: PostgreSQL's URLs and environment, as libpq reads them, or refused by name. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigurationError } from '../src/index.ts';
import { parsePostgresUrl } from '../src/postgres/target.ts';

const folder = mkdtempSync(join(tmpdir(), 'tw-url-'));
const certificate = join(folder, 'root.pem');
writeFileSync(certificate, 'a certificate');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const VARIABLES = [
  'PGHOST',
  'PGPORT',
  'PGUSER',
  'PGPASSWORD',
  'PGDATABASE',
  'PGSSLMODE',
  'PGSSLROOTCERT',
  'PGSSL',
  'PGTARGETSESSIONATTRS',
  'PGCONNECT_TIMEOUT',
];
let saved: Record<string, string | undefined> = {};
beforeEach(() => {
  saved = Object.fromEntries(VARIABLES.map((name) => [name, process.env[name]]));
  for (const name of VARIABLES) delete process.env[name];
});
afterEach(() => {
  for (const [name, value] of Object.entries(saved)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

describe('a PostgreSQL URL', () => {
  it.each([
    ['postgres://u:p@h/d', [{ host: 'h', port: 5432 }]],
    ['postgresql://u@h:5433/d', [{ host: 'h', port: 5433 }]],
    [
      'postgres://a:1,b:2,c/d',
      [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
        { host: 'c', port: 5432 },
      ],
    ],
    [
      'postgres://[::1]:5433,[fe80::1]/d',
      [
        { host: '::1', port: 5433 },
        { host: 'fe80::1', port: 5432 },
      ],
    ],
    ['postgres:///d', [{ host: 'localhost', port: 5432 }]],
    ['postgres:///d?host=/var/run&port=5433', [{ host: '/var/run', port: 5433, path: '/var/run/.s.PGSQL.5433' }]],
    ['postgres://u@%2Ftmp:5433/d', [{ host: '/tmp', port: 5433, path: '/tmp/.s.PGSQL.5433' }]],
    ['postgres://u@%2Fvar%2Frun/d', [{ host: '/var/run', port: 5432, path: '/var/run/.s.PGSQL.5432' }]],
    [
      'postgres://u@/d?host=a,b&port=1,2',
      [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    ],
  ])('%s leads to its hosts', (url, hosts) => {
    expect(parsePostgresUrl(url).hosts).toEqual(hosts);
  });

  it('has user, password and database as they are, percent signs resolved', () => {
    expect(parsePostgresUrl('postgres://a%40b:p%3Aq%2Fr@h/my%20data')).toMatchObject({
      user: 'a@b',
      password: 'p:q/r',
      database: 'my data',
    });
    expect(parsePostgresUrl('postgres://u@h/d?password=a+b%2Bc').password).toBe('a+b+c');
    expect(parsePostgresUrl('postgres://u:p:q@h')).toMatchObject({ user: 'u', password: 'p:q', database: 'u' });
    Object.assign(process.env, { PGUSER: 'eu', PGPASSWORD: 'ep', PGDATABASE: 'ed', PGHOST: '::1', PGPORT: '5434' });
    expect(parsePostgresUrl('postgres://')).toMatchObject({
      user: 'eu',
      password: 'ep',
      database: 'ed',
      hosts: [{ host: '::1', port: 5434 }],
    });
  });

  it.each([
    ['disable', false],
    ['allow', 'prefer'],
    ['prefer', 'prefer'],
    ['require', { rejectUnauthorized: false }],
    ['verify-full', { rejectUnauthorized: true }],
    ['verify-ca', { rejectUnauthorized: true, checkServerIdentity: expect.any(Function) }],
  ])('sslmode=%s, in the URL, in PGSSLMODE or as the option, is what it says', (mode, tls) => {
    expect(parsePostgresUrl(`postgres://h/d?sslmode=${mode}`).tls).toEqual(tls);
    expect(parsePostgresUrl('postgres://h/d').tls).toBe(false);
    process.env.PGSSLMODE = mode;
    expect(parsePostgresUrl('postgres://h/d').tls).toEqual(tls); // it was ignored: a plain connection under verify-full
    expect(parsePostgresUrl('postgres://h/d?sslmode=require').tls).toEqual({ rejectUnauthorized: false });
    expect(parsePostgresUrl('postgres://h/d?sslmode=require', { ssl: true }).tls).toEqual({ rejectUnauthorized: true });
    expect(parsePostgresUrl('postgres://h/d', { ssl: false }).tls).toBe(false);
  });

  it('takes certificates from files, and means by a root certificate that it is verified', () => {
    const file = encodeURIComponent(certificate);
    expect(parsePostgresUrl(`postgres://h/d?sslmode=require&sslrootcert=${file}`).tls).toEqual({
      ca: Buffer.from('a certificate'),
      rejectUnauthorized: true,
      checkServerIdentity: expect.any(Function),
    });
    expect(parsePostgresUrl('postgres://h/d?sslrootcert=system').tls).toEqual({ rejectUnauthorized: true });
    expect(parsePostgresUrl('postgres://h/d?sslmode=require&sslrootcert=system').tls).toEqual({
      rejectUnauthorized: true,
    });
    expect(() => parsePostgresUrl('postgres://h/d?sslmode=verify-ca&sslrootcert=/none')).toThrow(ConfigurationError);
    // it ended the process when the driver used it
    expect(() => parsePostgresUrl(`postgres://h/d?sslmode=require&sslcert=${file}&sslkey=${file}`)).toThrow(
      ConfigurationError,
    );
  });

  it('looks for a server that takes writes where there are several hosts, unless it is asked for another', () => {
    expect(parsePostgresUrl('postgres://a/d').role).toBe('any');
    expect(parsePostgresUrl('postgres://a,b/d').role).toBe('read-write');
    expect(parsePostgresUrl('postgres://a,b/d', { isReplica: true }).role).toBe('any');
    expect(parsePostgresUrl('postgres://a,b/d?target_session_attrs=standby').role).toBe('standby');
    process.env.PGTARGETSESSIONATTRS = 'primary';
    expect(parsePostgresUrl('postgres://a/d').role).toBe('primary');
    expect(parsePostgresUrl('postgres://a/d', { isReplica: true }).role).toBe('any');
  });

  it('hands over the parameters of the server, and none of libpq’s', () => {
    const url =
      'postgres://h/d?application_name=x&options=-c%20a%3Db&search_path=s&connect_timeout=3&keepalives=0&channel_binding=prefer&gssencmode=disable&sslmode=disable';
    const { parameters, connectTimeoutMs, keepAliveMs } = parsePostgresUrl(url);
    expect(parameters).toEqual({ application_name: 'x', options: '-c a=b', search_path: 's' });
    expect([connectTimeoutMs, keepAliveMs]).toEqual([3_000, undefined]);
    process.env.PGCONNECT_TIMEOUT = '7';
    expect(parsePostgresUrl('postgres://h/d')).toMatchObject({ connectTimeoutMs: 7_000, keepAliveMs: 60_000 });
  });

  it.each([
    'sslmode=bogus',
    'ssl=bogus',
    'target_session_attrs=bogus',
    'channel_binding=require',
    'gssencmode=require',
    'sslnegotiation=direct',
    'hostaddr=1.2.3.4',
    'passfile=x',
    'schema=public',
    'client_encoding=LATIN1',
    'TimeZone=UTC',
    'connect_timeout=x',
    'max=5',
    '__proto__=x&constructor=y&replication=true',
  ])('refuses %s, and says no value', (query) => {
    let thrown: unknown;
    try {
      parsePostgresUrl(`postgres://u:hunter2@h/d?${query}`);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigurationError);
    expect(String(thrown)).not.toContain('hunter2');
    process.env.PGSSLMODE = 'bogus';
    expect(() => parsePostgresUrl('postgres://h/d')).toThrow('sslmode');
  });
});
