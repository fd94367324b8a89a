/** A primary and streaming replicas of the real PostgreSQL 15 of Debian's package, on free ports of the loopback. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/embedded-server.ts';

const BIN = process.env.POSTGRES_15_BIN ?? '/usr/lib/postgresql/15/bin';
/** PostgreSQL refuses to be root. */
const NOBODY = 65534;
const asUser = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };

export interface Server {
  readonly url: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Lets all its processes stand still: what connects, or is connected, hears nothing. */
  freeze(): void;
  thaw(): void;
}

const run = (program: string, ...args: readonly string[]) =>
  execFileSync(join(BIN, program), args, { ...asUser, env, stdio: ['ignore', 'ignore', 'pipe'] });

export class Cluster {
  readonly #home = mkdtempSync(join(tmpdir(), 'tw-cluster-'));
  readonly #servers: Server[] = [];

  constructor() {
    if (!existsSync(join(BIN, 'pg_basebackup')))
      throw new Error(`PostgreSQL 15 is not at ${BIN}: install Debian's postgresql-15, or set POSTGRES_15_BIN`);
    if ('uid' in asUser) chownSync(this.#home, NOBODY, NOBODY);
  }

  async primary(): Promise<Server> {
    const data = this.#folder('primary');
    run(
      'initdb',
      `--pgdata=${data}`,
      '--username=postgres',
      '--auth=trust',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    );
    writeFileSync(
      join(data, 'pg_hba.conf'),
      'host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n',
    );
    return this.#serve(data);
  }

  async replicaOf(primary: Server): Promise<Server> {
    const data = this.#folder(`replica-${this.#servers.length}`);
    run(
      'pg_basebackup',
      `--dbname=${primary.url}`,
      `--pgdata=${data}`,
      '--write-recovery-conf',
      '--wal-method=stream',
      '--no-sync',
      '--checkpoint=fast',
    );
    return this.#serve(data);
  }

  async stop(): Promise<void> {
    for (const server of this.#servers.toReversed()) await server.stop();
    rmSync(this.#home, { recursive: true, force: true });
  }

  #folder(name: string): string {
    const folder = join(this.#home, name);
    mkdirSync(folder, { mode: 0o700 });
    if ('uid' in asUser) chownSync(folder, NOBODY, NOBODY);
    return folder;
  }

  async #serve(data: string): Promise<Server> {
    const port = await freePort();
    let child: ChildProcess | undefined;
    const kill = () => child?.kill('SIGQUIT');
    process.once('exit', kill);
    /** To the server's process and its children, which are ours. */
    const signalAll = (signal: 'SIGSTOP' | 'SIGCONT') => {
      const pid = child?.pid;
      if (pid === undefined) throw new Error('The server does not run');
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
      for (const one of [pid, ...children.split(' ').filter(Boolean).map(Number)]) process.kill(one, signal);
    };
    const server: Server = {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      async start() {
        child = spawn(
          join(BIN, 'postgres'),
          ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', '', '-c', 'fsync=off', '-c', 'max_connections=60'],
          { ...asUser, env, stdio: ['ignore', 'ignore', 'pipe'] },
        );
        const started = child;
        let log = '';
        await new Promise<void>((resolve, reject) => {
          started.stderr?.on('data', (chunk) => {
            log += chunk;
            if (/ready to accept (read-only )?connections/.test(log)) resolve();
          });
          started.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}:\n${log}`)));
        });
      },
      freeze: () => signalAll('SIGSTOP'),
      thaw: () => signalAll('SIGCONT'),
      async stop() {
        const running = child;
        child = undefined;
        if (!running || running.exitCode !== null) return;
        const ended = new Promise((resolve) => running.once('exit', resolve));
        running.kill('SIGINT');
        await ended;
      },
    };
    await server.start();
    this.#servers.push(server);
    return server;
  }
}
