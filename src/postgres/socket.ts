import { connect, type Socket } from 'node:net';
import { setTimeout } from 'node:timers';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { Host } from './target.ts';

/** `N`: what a server without TLS says to the request for it. */
const NO_TLS = 78;
/** Milliseconds in which the request to cancel a statement must reach the server. */
const CANCEL_MS = 2_000;

/**
 * The socket of one client, which has one connection and never another. postgres.js 3.4.9 opens its own otherwise: again and again without an
 * end where one is closed before the server is ready, as by a proxy without a server behind it; and with those it keeps the process
 * alive while nothing is asked, or while its server is silent. It asks for a second one to cancel a statement, and gets it only then.
 */
export class OneSocket {
  #socket: Socket | undefined;
  #mayCancel = false;
  #isDestroyed = false;

  constructor(
    private readonly host: Host,
    private readonly keepAliveMs: number | undefined,
    /** Its server must say that it has TLS: postgres.js 3.4.9 goes on where it says that it has not. */
    private readonly mustHaveTls = false,
  ) {}

  /** What postgres.js calls for a socket. Rejects with what `net` reports, or where it is called again. */
  readonly open = async (): Promise<Socket> => {
    if (!this.#socket && !this.#isDestroyed) {
      this.#socket = this.#connect();
      this.#socket.setNoDelay(true);
      if (this.keepAliveMs !== undefined) this.#socket.setKeepAlive(true, this.keepAliveMs);
      const socket = await connected(this.#socket);
      if (this.mustHaveTls && this.host.path === undefined)
        socket.once('data', (bytes: Buffer) => {
          if (bytes[0] === NO_TLS) socket.destroy(failure('ERR_TLS_NOT_OFFERED', 'the server has no TLS'));
        });
      return socket;
    }
    if (!this.#mayCancel || this.#isDestroyed) throw failure('ECONNRESET', 'the connection was closed');
    this.#mayCancel = false;
    const socket = this.#connect();
    setTimeout(() => socket.destroy(), CANCEL_MS).unref();
    return connected(socket);
  };

  /** Checks that a certificate is that of the host; an address is checked as one, which the driver would not do. */
  readonly verify = (_name: string, certificate: PeerCertificate): Error | undefined =>
    checkServerIdentity(this.host.host, certificate);

  /** Allows one more socket, which carries the request to cancel a statement. */
  allowCancel(): void {
    this.#mayCancel = true;
  }

  /** Bytes that have come from the server so far. */
  get bytesRead(): number {
    return this.#socket?.bytesRead ?? 0;
  }

  /** Whether the process waits for it. */
  hold(holds: boolean): void {
    if (holds) this.#socket?.ref();
    else this.#socket?.unref();
  }

  /** Closes it, whatever is in flight. */
  destroy(): void {
    this.#isDestroyed = true;
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const { host, port, path } = this.host;
    return Object.assign(connect(path === undefined ? { host, port } : { path }), { host, port }); // by `host`, TLS knows whom to ask for
  }
}

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(failure('ECONNRESET', 'the connection was closed while it was made')));
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      socket.removeAllListeners('close');
      resolve(socket);
    });
  });
}

const failure = (code: string, message: string) => Object.assign(new Error(message), { code, syscall: 'connect' });
