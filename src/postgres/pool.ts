/**
 * Which connection a call gets, and what waits for how long: see docs/pool.md.
 *
 * - Reads by key share a connection, since they are short; but not behind one that is not. All others have one for themselves: a statement that
 *   waits for a lock holds up nothing but itself.
 * - Where there are two connections or more, one is never given to writes and transactions: however many of them are blocked, reads go on.
 * - What waits, waits in the order in which it came, up to its limit; and no more than `maxQueued` calls do.
 * - A connection is given up when it was lost, when its server has gone silent or turned into a standby, after a statement that did not end in time,
 *   after a failure of the driver's own, and when it is old or idle for too long, then while nothing is in flight on it.
 * - When none can be opened, those that are there are waited for; where none is there, what waits fails with the reason. The next is tried after a
 *   pause that doubles.
 */
import { clearTimeout, setTimeout } from 'node:timers';
import { Fifo } from '../driver/fifo.ts';
import type { Query } from '../driver/port.ts';
import { BusyError, ClosedError, ConnectionError, type ConnectionReason } from '../errors.ts';
import { type CallLimits, type Client, type ClientResult, refusedParameters } from './client.ts';
import type { Dialer } from './dial.ts';
import { SilenceWatch } from './silence.ts';

export interface PoolOptions {
  readonly poolSize: number;
  readonly acquireTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly silenceTimeoutMs: number;
  readonly maxQueued: number;
  readonly idleTimeoutMs?: number | undefined;
  readonly maxLifetimeMs?: number | undefined;
}

/** What a call wants of a connection: a place among others, or all of it; and for all of it, to read or to write. */
type Want = 'shared' | 'read' | 'write';
const WANTS: readonly Want[] = ['shared', 'read', 'write'];

interface Waiter {
  readonly want: Want;
  /** When it came: those of all kinds have their turn in this order. */
  readonly turn: number;
  /** `performance.now()` by which it must have a connection. */
  readonly acquireBy: number;
  grant(client: Client): void;
  reject(error: unknown): void;
}

/** Statements in flight on a connection that is shared: the driver pipelines no more. */
const MOST_SHARED = 100;
/** Milliseconds that a connection is given to say goodbye, when nothing is in flight on it. */
const GOODBYE_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
const LONGEST_TICK_MS = 100;
/** Between looks at connections of which none was used for a while. */
const IDLE_TICK_MS = 1_000;
const TICKS_UNTIL_IDLE = 20;

/** 30 to 60 minutes, so that they do not all end at the same time. */
const someLifetimeMs = () => 60_000 * (30 + Math.random() * 30);

export class Pool {
  readonly #clients: Client[] = [];
  readonly #waiting: Readonly<Record<Want, Fifo<Waiter>>> = { shared: new Fifo(), read: new Fifo(), write: new Fifo() };
  /** Connections that say goodbye. */
  readonly #endings = new Set<Promise<unknown>>();
  readonly #silence: SilenceWatch;
  /** Of a statement without limits of its own. */
  readonly #limits: CallLimits;
  readonly #tickMs: number;
  #turns = 0;
  /** Connections that are held by writes and transactions. */
  #writers = 0;
  /** Connections that are being opened. */
  #opening = 0;
  /** Rounds of attempts to open one that failed, since the last that did not. */
  #failures = 0;
  #lastFailure: ConnectionError | undefined;
  #pausedUntil = 0;
  #pause: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #idleTicks = 0;
  #isClosed = false;
  #drained: (() => void) | undefined;

  constructor(
    private readonly dialer: Dialer,
    private readonly options: PoolOptions,
  ) {
    const { acquireTimeoutMs, statementTimeoutMs, silenceTimeoutMs, idleTimeoutMs, maxLifetimeMs } = options;
    const shortest = Math.min(
      ...[acquireTimeoutMs, statementTimeoutMs, silenceTimeoutMs, idleTimeoutMs, maxLifetimeMs].map(
        (limit = Number.POSITIVE_INFINITY) => limit,
      ),
    );
    this.#tickMs = Math.max(5, Math.min(LONGEST_TICK_MS, Math.floor(shortest / 20)));
    this.#limits = {
      acquireMs: acquireTimeoutMs,
      runMs: statementTimeoutMs,
      deadline: Number.POSITIVE_INFINITY,
      whenLost: 'unknown',
      isCancellable: true,
    };
    this.#silence = new SilenceWatch(silenceTimeoutMs, (host, ms) => dialer.isResponsive(host, ms));
  }

  /** Runs one statement: a read, or a write that is a transaction of its own. */
  exec(query: Query): Promise<ClientResult> {
    const refused = refusedParameters(query.params);
    if (refused) return Promise.reject(refused);
    const now = performance.now();
    const { timeoutMs, deadline } = query;
    const limits =
      timeoutMs === undefined && deadline === undefined
        ? this.#limits
        : {
            ...this.#limits,
            ...(timeoutMs === undefined ? {} : { runMs: timeoutMs }),
            ...(deadline === undefined ? {} : { deadline }),
          };
    const want = !query.reads ? 'write' : query.byKey ? 'shared' : 'read';
    return this.#use(want, now, limits.deadline, (client) => client.run(query, limits, now));
  }

  /** A connection for one transaction, alone. To be released. */
  async acquire(deadline: number): Promise<Client> {
    return this.#use('write', performance.now(), deadline, async (client) => {
      client.isInTransaction = true;
      return client;
    });
  }

  /** A connection that `acquire` gave is wanted no more. */
  release(client: Client): void {
    if (client.isDead) return; // it has left the pool already
    if (client.isSuspect) void this.#examine(client);
    else {
      this.#free(client);
      this.#serve();
    }
  }

  /** Closes every connection: what is in flight fails, and what comes later connects again. */
  abandon(reason: ConnectionReason): void {
    for (const client of [...this.#clients]) client.lose(reason);
  }

  /** Refuses nothing by itself: waits until nothing waits or is in flight, but no longer than this, and ends all connections. */
  async close(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    if (this.#isBusy())
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#drained = resolve;
        }),
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, timeoutMs);
        }),
      ]);
    clearTimeout(timer);
    this.#isClosed = true;
    this.dialer.close();
    for (const want of WANTS)
      for (const waiter of this.#waiting[want].remove(() => true)) waiter.reject(new ClosedError());
    for (const client of [...this.#clients])
      if (client.load || client.isHeld) client.lose('closed');
      else this.#retire(client);
    clearTimeout(this.#pause);
    clearTimeout(this.#timer);
    await Promise.all(this.#endings);
  }

  /** Begins something on a connection, now or when it has its turn. */
  #use<T>(want: Want, now: number, deadline: number, begin: (client: Client) => Promise<T>): Promise<T> {
    this.#keepTime();
    if (this.#isClosed) return Promise.reject(new ClosedError());
    const acquireBy = Math.min(now + this.options.acquireTimeoutMs, deadline);
    if (acquireBy <= now) return Promise.reject(new BusyError('acquire_timeout'));
    const free = this.#find(want, now);
    if (free) return begin(free);
    if (this.#queued() >= this.options.maxQueued + Math.max(0, this.options.poolSize - this.#clients.length))
      return Promise.reject(new BusyError('queue_full'));
    return new Promise((resolve, reject) => {
      const grant = (client: Client) => resolve(begin(client));
      this.#waiting[want].push({ want, turn: this.#turns++, acquireBy, grant, reject });
      this.#drain();
      this.#grow();
    });
  }

  /** A connection that this may have now. It is taken: to be freed. */
  #find(want: Want, now: number): Client | undefined {
    if (want === 'write' && this.#writers >= this.#mostWriters()) return undefined;
    const idle = this.#idle(now);
    if (idle) {
      if (want !== 'shared') {
        idle.isHeld = true;
        if (want === 'write') this.#writers++;
      }
      idle.isWriting = want === 'write';
      return idle;
    }
    if (want !== 'shared') return undefined;
    const least = this.#leastLoaded(now);
    if (least) this.#grow(1);
    return least;
  }

  #idle(now: number): Client | undefined {
    for (const client of this.#clients) {
      if (client.load || client.isHeld) continue;
      if (!client.isUsedUp(now)) return client;
      this.#retire(client);
      return this.#idle(now);
    }
    return undefined;
  }

  #leastLoaded(now: number): Client | undefined {
    let least: Client | undefined;
    for (const client of this.#clients) {
      if (client.isHeld || client.isDraining || client.load >= MOST_SHARED || client.isUsedUp(now)) continue;
      if (!client.isMoving(now)) continue;
      if (!least || client.load < least.load) least = client;
    }
    return least;
  }

  /** One is kept for reads; of those that there are, where no more can be opened. */
  #mostWriters(): number {
    const size = this.#failures ? this.#clients.length : this.options.poolSize;
    return Math.max(1, size - 1);
  }

  /** Gives what is free to what waits, in the order in which it came. */
  #serve(): void {
    if (!this.#queued()) {
      if (this.#drained && !this.#isBusy()) this.#drained();
      return;
    }
    const now = performance.now();
    const blocked = new Set<Want>();
    for (;;) {
      let next: Waiter | undefined;
      for (const want of WANTS) {
        const first = blocked.has(want) ? undefined : this.#waiting[want].peek();
        if (first && (!next || first.turn < next.turn)) next = first;
      }
      if (!next) break;
      const client = this.#find(next.want, now);
      if (client) {
        this.#waiting[next.want].shift();
        next.grant(client);
      } else blocked.add(next.want);
    }
    this.#drain();
    this.#grow();
  }

  /** Keeps reads from connections that something wants for itself, as many as there are who want one. */
  #drain(): void {
    const writes = Math.min(this.#waiting.write.size, this.#mostWriters() - this.#writers);
    let wanted = this.#waiting.read.size + Math.max(0, writes);
    if (wanted <= 0) return;
    const now = performance.now();
    // one whose statement takes long frees nothing soon
    for (const client of this.#clients) if (client.isDraining && client.isMoving(now)) wanted--;
    for (; wanted > 0; wanted--) {
      let least: Client | undefined;
      for (const client of this.#clients)
        if (
          client.load &&
          !client.isHeld &&
          !client.isDraining &&
          client.isMoving(now) &&
          (!least || client.load < least.load)
        )
          least = client;
      if (!least) return;
      least.isDraining = true;
    }
  }

  #onProgress(client: Client): void {
    if (client.load) {
      if (this.#queued()) this.#serve(); // it moves on: more may be sent behind
      return;
    }
    if (!client.isInTransaction) this.release(client);
  }

  #free(client: Client): void {
    if (client.isWriting) this.#writers--;
    client.isHeld = false;
    client.isWriting = false;
    client.isInTransaction = false;
    client.isDraining = false;
    if (client.isUsedUp(performance.now())) this.#retire(client);
  }

  #onLost(client: Client, reason: ConnectionReason): void {
    const at = this.#clients.indexOf(client);
    if (at < 0) return;
    this.#clients.splice(at, 1);
    if (client.isWriting) this.#writers--;
    client.isWriting = false;
    // what ended it may be about to end the others, too: those that are idle cost less than a call that fails on one of them
    if (reason === 'lost' || reason === 'shutting_down')
      for (const other of [...this.#clients])
        if (other.host === client.host && !other.load && !other.isHeld) this.#retire(other);
    this.#serve();
  }

  #retire(client: Client): void {
    const at = this.#clients.indexOf(client);
    if (at >= 0) this.#clients.splice(at, 1);
    const ending = client.end(GOODBYE_MS);
    this.#endings.add(ending);
    void ending.then(() => this.#endings.delete(ending));
  }

  /** Opens connections for what waits, and for as many more. */
  #grow(more = 0): void {
    if (this.#isClosed) return;
    const room = this.options.poolSize - this.#clients.length - this.#opening;
    if (room <= 0) return;
    const now = performance.now();
    if (this.#failures && (this.#opening || now < this.#pausedUntil)) {
      this.#growLater(now);
      return;
    }
    const { shared, read, write } = this.#waiting;
    const alone = read.size + Math.min(write.size, Math.max(0, this.#mostWriters() - this.#writers));
    const wanted = alone + shared.size + more - this.#opening;
    // after a failure, one finds out whether it goes again
    const most = this.#failures ? Math.min(1, this.#queued() + more) : Math.min(room, wanted);
    for (let i = 0; i < most; i++) void this.#open();
  }

  async #open(): Promise<void> {
    this.#opening++;
    const round = this.#failures;
    const began = this.#turns;
    let client: Client;
    try {
      client = await this.dialer.dial();
    } catch (error) {
      this.#opening--;
      this.#onRefused(error as ConnectionError, round, began); // a dialer throws no other
      return;
    }
    this.#opening--;
    this.#failures = 0;
    this.#lastFailure = undefined;
    client.until = performance.now() + (this.options.maxLifetimeMs ?? someLifetimeMs());
    client.events = {
      onProgress: (one) => this.#onProgress(one),
      onLost: (one, reason) => this.#onLost(one, reason),
    };
    if (!client.isDead) this.#clients.push(client);
    if (this.#isClosed) this.#retire(client);
    else this.#serve();
  }

  /**
   * @param round the failures that were known when it began: those that began together count once.
   * @param began the turn at which it began: it says nothing of calls that came later, since what ended it may be over.
   */
  #onRefused(error: ConnectionError, round: number, began: number): void {
    if (round === this.#failures) {
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** round, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2);
      this.#failures++;
      this.#pausedUntil = performance.now() + pause;
    }
    this.#lastFailure = error;
    // live connections are waited for; without any, nothing else will come
    if (!this.#clients.length && !this.#opening)
      for (const want of WANTS)
        for (const waiter of this.#waiting[want].remove(({ turn }) => turn < began))
          waiter.reject(this.#noConnection());
    this.#serve();
  }

  #noConnection(): ConnectionError | BusyError {
    const failure = this.#lastFailure;
    if (failure && !this.#clients.length) return new ConnectionError(failure.reason, { cause: failure.cause });
    return new BusyError('acquire_timeout', failure ? { cause: failure } : {});
  }

  #growLater(now: number): void {
    if (this.#pause || this.#opening || !this.#queued()) return;
    this.#pause = setTimeout(
      () => {
        this.#pause = undefined;
        if (this.#queued()) this.#grow();
      },
      Math.max(1, this.#pausedUntil - now),
    );
  }

  /** Its server refused a write: a standby is left, a primary that only reads for another reason is not. */
  async #examine(client: Client): Promise<void> {
    client.isSuspect = false;
    client.isHeld = true;
    client.isInTransaction = true; // nothing else is sent on it
    const isStandby = client.reconnects || (await this.dialer.isStandby(client, GOODBYE_MS).catch(() => true));
    if (client.isDead) return;
    if (isStandby) client.until = 0;
    this.release(client);
  }

  /** One timer looks after all limits: a timer for each call would cost more than the call. It keeps no process alive. */
  #keepTime(): void {
    if (this.#timer && this.#idleTicks <= TICKS_UNTIL_IDLE) {
      this.#idleTicks = 0;
      return;
    }
    clearTimeout(this.#timer);
    this.#idleTicks = 0;
    this.#timer = setTimeout(() => this.#tick(), this.#tickMs).unref();
  }

  /** After a turn of the loop: where that was held up, what the servers have sent meanwhile is read before anything is given up. */
  #tick(): void {
    setImmediate(() => this.#look());
  }

  #look(): void {
    if (this.#isClosed) return;
    const now = performance.now();
    for (const client of [...this.#clients]) {
      client.check(now);
      if (client.load || client.isHeld) continue;
      const idleTooLong = now - client.idleSince >= (this.options.idleTimeoutMs ?? Number.POSITIVE_INFINITY);
      if (idleTooLong || client.isUsedUp(now)) this.#retire(client);
    }
    this.#silence.look(this.#clients, now);
    for (const want of WANTS)
      for (const waiter of this.#waiting[want].remove(({ acquireBy }) => acquireBy <= now))
        waiter.reject(this.#noConnection());
    this.#serve();
    if (this.#isClosed) return;
    const isIdle = !this.#isBusy() && ++this.#idleTicks > TICKS_UNTIL_IDLE;
    if (isIdle && !this.#clients.length) this.#timer = undefined;
    else {
      const slow = Math.max(this.#tickMs, Math.min(IDLE_TICK_MS, this.options.idleTimeoutMs ?? IDLE_TICK_MS));
      this.#timer = setTimeout(() => this.#tick(), isIdle ? slow : this.#tickMs).unref();
    }
  }

  #queued(): number {
    return this.#waiting.shared.size + this.#waiting.read.size + this.#waiting.write.size;
  }

  #isBusy(): boolean {
    return this.#queued() > 0 || this.#clients.some(({ load, isHeld }) => load > 0 || isHeld);
  }
}
