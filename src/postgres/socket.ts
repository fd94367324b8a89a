import { connect, type Socket } from 'node:net';

/** What postgres.js hands to its option `socket`: its own options, once it has read the URL and the environment. */
export interface Target {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Of a Unix socket; false where there is none. */
  readonly path: string | false;
  /** Seconds. */
  readonly connect_timeout: number;
}

/**
 * The socket of a client that has one connection. postgres.js opens its own otherwise, again and again, at once and without an end,
 * where one is closed before the server is ready, as by a proxy that has no server behind it; and it keeps the process alive with one
 * whose server is silent.
 */
export class OneSocket {
  #socket: Socket | undefined;

  /** Connects. Fails with what `net` throws, or when it is called again. */
  readonly open = ({ host: [host], port: [port], path, connect_timeout: seconds }: Target): Promise<Socket> =>
    new Promise((resolve, reject) => {
      if (this.#socket) throw failure('ECONNRESET', 'the connection was closed before the server was ready');
      const socket = path ? connect(path) : connect({ host: host as string, port: port as number });
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
        resolve(Object.assign(socket, { host, port })); // by `host`, TLS knows what to verify
      });
    });

  /** Gives it up, whatever is under way on it. */
  destroy(): void {
    this.#socket?.destroy();
  }
}

const failure = (code: string, message: string) => Object.assign(new Error(message), { code, syscall: 'connect' });
