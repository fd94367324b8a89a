import type { Client } from './client.ts';
import type { Host } from './target.ts';

/**
 * Finds servers that have gone silent: whose machine, or way, is gone without a word, or who stand still. A statement that takes long is no
 * sign of it. So a server from which nothing has come for a while is sent one more connection; when nothing comes for that either, its
 * connections are given up.
 */
export class SilenceWatch {
  readonly #asking = new Set<Host>();

  constructor(
    private readonly timeoutMs: number,
    private readonly isResponsive: (host: Host, timeoutMs: number) => Promise<boolean>,
  ) {}

  /** To be called again and again. */
  look(clients: readonly Client[], now: number): void {
    for (const client of clients) {
      const { host } = client;
      if (client.silentMs(now) >= this.timeoutMs / 2 && !this.#asking.has(host)) void this.#ask(host, clients);
    }
  }

  async #ask(host: Host, clients: readonly Client[]): Promise<void> {
    this.#asking.add(host);
    const isThere = await this.isResponsive(host, this.timeoutMs / 2);
    this.#asking.delete(host);
    const now = performance.now();
    for (const client of [...clients]) {
      if (client.host !== host) continue;
      if (isThere) client.heard(now);
      else if (client.silentMs(now) >= this.timeoutMs / 2) client.lose('silent');
    }
  }
}
