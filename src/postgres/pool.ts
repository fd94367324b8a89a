/**
 * A pool of postgres.js clients with one connection each. It is ours: postgres.js 3.4.9 keeps state of a lost connection (half a
 * result, a statement, its write buffer) and uses it again after it has reconnected, so that calls hang or answer wrong; and it gives
 * statements to a connection that it is ending, which takes them along. Here a client whose connection was lost is thrown away, and
 * one that is idle or old for long enough is ended while nothing is under way on it.
 */
import type Postgres from 'postgres';

/** A client of one connection. */
export interface Client {
  readonly sql: Postgres.Sql;
  /** Closes its socket: the client itself does so only when the server answers. */
  destroy(): void;
}

/** A connection. */
export interface Slot {
  readonly client: Client;
  /** Statements and transactions under way on it. */
  load: number;
  /** A transaction has it for itself. */
  held: boolean;
  dead: boolean;
  /** From then on it is given to nobody. */
  readonly until: number;
  /** Ends it when nobody has wanted it for long enough. */
  idle?: NodeJS.Timeout;
}

/** How many connections there are, and how long they live. */
export interface PoolOptions {
  readonly poolSize: number;
  readonly idleTimeoutSeconds?: number | undefined;
  readonly maxLifetimeSeconds?: number | undefined;
}

interface Waiting {
  readonly alone: boolean;
  readonly resolve: (slot: Slot) => void;
}

/** 30 to 60 minutes, so that they do not all end at once. */
const someLifetime = () => 60 * (30 + Math.random() * 30);

export class Pool {
  readonly #slots: Slot[] = [];
  readonly #waiting: Waiting[] = [];
  /** Connections that are on their way out. */
  readonly #endings = new Set<Promise<unknown>>();
  /** How many of those that wait want a connection alone. */
  #waitingAlone = 0;
  /** Of all slots, those that are dead included. */
  #load = 0;
  #drained: (() => void) | undefined;

  /** @param make a client, which tells when its connection has closed. */
  constructor(
    private readonly make: (onclose: () => void) => Client,
    private readonly options: PoolOptions,
  ) {}

  /** A connection for one transaction, alone, or for a statement among others; at once where one is free. To be released. */
  take(alone: boolean): Slot | Promise<Slot> {
    // statements are pipelined; but not past a transaction that waits, or no connection would ever be free for it
    const free = this.#free(alone, !this.#waitingAlone);
    if (free) return free;
    if (alone) this.#waitingAlone++;
    return new Promise<Slot>((resolve) => this.#waiting.push({ alone, resolve }));
  }

  release(slot: Slot): void {
    this.#load--;
    slot.load--;
    slot.held = false;
    if (!slot.load) this.#rest(slot);
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const free = this.#free(next.alone, true);
      if (!free) break;
      this.#waiting.shift();
      if (next.alone) this.#waitingAlone--;
      next.resolve(free);
    }
    if (!this.#load) this.#drained?.();
  }

  /** The connection was lost, and all that is under way on it. */
  discard(slot: Slot): void {
    this.#end(slot, 0);
  }

  discardAll(): void {
    for (const slot of [...this.#slots]) this.discard(slot);
  }

  /** Waits for what is under way, and what waits for a connection, then ends all of them. */
  async close(): Promise<void> {
    if (this.#load) await new Promise<void>((resolve) => (this.#drained = resolve));
    for (const slot of [...this.#slots]) this.#retire(slot);
    await Promise.all(this.#endings);
  }

  #free(alone: boolean, mayShare: boolean): Slot | undefined {
    const now = performance.now();
    for (const slot of this.#slots.filter(({ load, until }) => load === 0 && until <= now)) this.#retire(slot);
    let free = this.#slots.find(({ load }) => load === 0);
    if (!free && this.#slots.length < this.options.poolSize) free = this.#connect(now);
    if (!free && !alone && mayShare) free = this.#leastLoaded(now);
    if (!free) return undefined;
    clearTimeout(free.idle);
    this.#load++;
    free.load++;
    free.held = alone;
    return free;
  }

  #leastLoaded(now: number): Slot | undefined {
    let least: Slot | undefined;
    for (const slot of this.#slots)
      if (!slot.held && slot.until > now && (!least || slot.load < least.load)) least = slot;
    return least;
  }

  #connect(now: number): Slot {
    const { maxLifetimeSeconds = someLifetime() } = this.options;
    const slot: Slot = {
      client: this.make(() => this.discard(slot)),
      load: 0,
      held: false,
      dead: false,
      until: now + maxLifetimeSeconds * 1000,
    };
    this.#slots.push(slot);
    return slot;
  }

  /** Nothing is under way on it. */
  #rest(slot: Slot): void {
    const { idleTimeoutSeconds } = this.options;
    if (slot.until <= performance.now()) this.#retire(slot);
    else if (idleTimeoutSeconds !== undefined && !slot.dead)
      slot.idle = setTimeout(() => this.#retire(slot), idleTimeoutSeconds * 1000).unref();
  }

  #retire(slot: Slot): void {
    this.#end(slot, 5);
  }

  #end(slot: Slot, timeoutSeconds: number): void {
    if (slot.dead) return;
    slot.dead = true;
    clearTimeout(slot.idle);
    const at = this.#slots.indexOf(slot);
    if (at >= 0) this.#slots.splice(at, 1);
    const { sql, destroy } = slot.client;
    const ending = sql.end({ timeout: timeoutSeconds }).then(destroy, destroy);
    this.#endings.add(ending);
    void ending.then(() => this.#endings.delete(ending));
  }
}
