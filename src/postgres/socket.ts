import { connect, type Socket } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

/** Where a server may be. */
export interface Host {
  readonly host: string;
  readonly port: number;
}

/** What postgres.js hands to its option `socket`: its own options, once it has read the URL and the environment. */
export interface Target {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Of a Unix socket; false where there is none. */
  readonly path: string | false;
  /** Seconds. */
  readonly connect_timeout: number;
}

/** What a timer can wait for. */
const MOST_SECONDS = 2_147_483;

/**
 * The socket of a client that has one connection. postgres.js opens its own otherwise, again and again, at once and without an end,
 * where one is closed before the server is ready, as by a proxy that has no server behind it; and it keeps the process alive with one
 * whose server is silent.
 */
export class OneSocket {
  #socket: Socket | undefined;
  #host = '';
  #opened = false;

  /** @param hosts to be tried in turn; none where the driver knows the one. */
  constructor(private readonly hosts: readonly Host[] = []) {}

  /** Connects. Fails with what `net` throws, or when it is called again. */
  readonly open = async ({ host: [host], port: [port], path, connect_timeout: seconds }: Target): Promise<Socket> => {
    if (this.#opened) throw failure('ECONNRESET', 'the connection was closed before the server was ready');
    this.#opened = true;
    const targets = this.hosts.length ? this.hosts : [{ host: host as string, port: port as number }];
    let failed: unknown;
    for (const target of targets)
      try {
        this.#host = target.host;
        return await this.#connect(path ? { path } : target, Math.min(seconds, MOST_SECONDS));
      } catch (error) {
        failed = error;
      }
    throw failed;
  };

  /** Whether a certificate is that of the server; an address is verified as one, which the driver would not do. */
  readonly verify = (_name: string, certificate: PeerCertificate): Error | undefined =>
    checkServerIdentity(this.#host, certificate);

  /** Gives it up, whatever is under way on it. */
  destroy(): void {
    this.#socket?.destroy();
  }

  #connect(to: Host | { readonly path: string }, seconds: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(to);
      this.#socket = socket;
      const timer = seconds
        ? setTimeout(() => socket.destroy(failure('ETIMEDOUT', 'no connection was made in time')), seconds * 1000)
        : undefined;
      socket.once('error', reject);
      socket.once('close', () => {
        clearTimeout(timer);
        reject(failure('ECONNRESET', 'the connection was closed while it was made'));
      });
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.removeAllListeners();
        resolve(Object.assign(socket, to)); // by `host`, TLS knows what to ask for
      });
    });
  }
}

const failure = (code: string, message: string) => Object.assign(new Error(message), { code, syscall: 'connect' });
