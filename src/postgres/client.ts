import type Postgres from 'postgres';
import { before, deadlineIn } from '../driver/deadline.ts';
import { Fifo } from '../driver/fifo.ts';
import type { Query, Result } from '../driver/port.ts';
import { BusyError, type CallOutcome, ConnectionError, type ConnectionReason, TimeoutError } from '../errors.ts';
import { classify, endsConnection, isReadOnly } from './errors.ts';
import type { OneSocket } from './socket.ts';
import type { Host } from './target.ts';

type Rows = readonly (readonly unknown[])[] & { readonly count: number; readonly command: string };

/** How long a statement may wait and run, and what its caller hears when it is cut short. */
export interface CallLimits {
  /** Milliseconds from the call until it must be the next one of its connection. */
  readonly acquireMs: number;
  /** Milliseconds that it may run, from then on. */
  readonly runMs: number;
  /** `performance.now()` by which it must have ended all the same. */
  readonly deadline: number;
  /** What became of it where its connection is lost. */
  readonly whenLost: CallOutcome;
  /** False for COMMIT: cancelled or not, what became of it is not known. */
  readonly isCancellable: boolean;
}

export interface ClientResult extends Result {
  /** As the server reports it: SELECT, UPDATE, COMMIT … */
  readonly command: string;
}

/** What is used of a query of postgres.js: a promise of the rows, which the driver settles through its members. */
interface Pending extends Promise<Rows> {
  canceller: ((query: Pending) => unknown) | null;
  resolve: (rows: Rows) => void;
  reject: (error: unknown) => void;
  values(): unknown;
  forEach(receive: (row: never) => void): unknown;
}

/** A statement in flight. */
class Call {
  /** What its caller gets, as soon as that is no result. */
  failure: unknown;
  /** The server was asked to cancel it. */
  isCancelled = false;

  /** @param since `performance.now()` of the call. */
  constructor(
    readonly pending: Pending,
    readonly query: Query,
    readonly limits: CallLimits,
    readonly since: number,
  ) {}

  /** `performance.now()` by which it must be the next one of its connection. */
  get acquireBy(): number {
    return Math.min(this.since + this.limits.acquireMs, this.limits.deadline);
  }
}

/** What a pool hears of its clients. */
export interface ClientEvents {
  /** A call has ended, and another one may be sent. */
  readonly onProgress: (client: Client) => void;
  /** The connection was lost. */
  readonly onLost: (client: Client, reason: ConnectionReason) => void;
}

/** Milliseconds that the first statement of a connection may run before others are sent elsewhere instead of behind it. */
const MOVING_MS = 5;

/** Milliseconds that the way to a server and back takes at the most, as far as that is a reason to wait for it. */
const LONGEST_WAY_MS = 250;

/** Milliseconds that the next statement of a connection waits for a request to cancel the one before. */
const CANCEL_WAIT_MS = 1_000;

/** A statement is cancelled so long before its limit, so that its caller learns in time whether it was undone. */
const graceMs = (limitMs: number) => Math.min(500, limitMs / 10);

/**
 * One connection to a server: a postgres.js client that never reconnects. postgres.js 3.4.9 forgets statements that wait behind one whose
 * connection fails, keeps the state of a lost connection for the next one, and writes to a socket that is gone when a transaction ends
 * (porsager/postgres#1208). So each client has one connection for its life, statements in flight are known here and failed from here,
 * and transactions are statements like others.
 */
export class Client {
  readonly #how: { readonly prepare: boolean };
  /** In the order in which the server responds. */
  readonly #sent = new Fifo<Call>();
  /** Since when the first of them is the first. */
  #headSince = 0;
  /** The shortest time that a statement took which had the connection for itself: the way there and back, at the most. */
  #fastestMs: number | undefined;
  #bytesSeen = 0;
  #heardAt: number;
  /** A request to cancel a statement was sent: the server may still be about to act on it. */
  #hasCancelled = false;
  /** Settles when the server has acted on it, as far as can be told. */
  #cancelling: Promise<unknown> | undefined;
  /** The server has said that a commit was not waited for: a standby may not have it. */
  #isUnconfirmed = false;
  readonly #whenLost = new Set<(error: unknown) => void>();
  events: ClientEvents | undefined;
  /** Of one statement, or one transaction, that shares it with no other. */
  isHeld = false;
  /** Held by a write or a transaction. */
  isWriting = false;
  /** Held until it is released, and not only for the statement in flight. */
  isInTransaction = false;
  /** No more is sent behind what is in flight, since something waits that wants it for itself. */
  isDraining = false;
  isDead = false;
  /** Its server was found to only read: to be looked at again before it is used. */
  isSuspect = false;
  /** Another connection may lead to another server: one that takes writes. */
  reconnects = false;
  /** `performance.now()` from which on it is used no more. */
  until = Number.POSITIVE_INFINITY;
  idleSince: number;

  constructor(
    private readonly sql: Postgres.Sql,
    private readonly socket: OneSocket,
    readonly host: Host,
    prepare: boolean,
  ) {
    this.#how = { prepare };
    this.#heardAt = performance.now();
    this.idleSince = this.#heardAt;
    socket.hold(false);
  }

  /** Statements in flight. */
  get load(): number {
    return this.#sent.size;
  }

  /** Whether statements that come behind others may expect to have their turn soon. */
  isMoving(now: number): boolean {
    return this.#sent.size === 0 || now - this.#headSince < Math.max(MOVING_MS, 4 * (this.#fastestMs ?? 0));
  }

  /** Whether a cancelled statement may still be in the server's way, or it is too old. */
  isUsedUp(now: number): boolean {
    return this.#hasCancelled || this.until <= now;
  }

  /**
   * Runs a statement whose values were checked. Every value goes as the text that the codecs made of it.
   *
   * What it returns is made of the driver's own promise: under AsyncLocalStorage (Node 20 and 22), a promise with an executor of its own makes
   * every query survive the collections of young garbage, at a tenth of the time of a read.
   *
   * @param since `performance.now()` of the call.
   */
  run(query: Query, limits: CallLimits, since: number): Promise<ClientResult> {
    if (this.isDead) return Promise.reject(new ConnectionError('lost'));
    // a request that is late would cancel this statement instead of the one before
    if (this.#cancelling) return this.#cancelling.then(() => this.run(query, limits, since));
    if (this.#sent.size === 0) {
      this.#headSince = performance.now();
      this.#isUnconfirmed = false;
      this.socket.hold(true);
    }
    const pending = this.sql.unsafe(query.sql, query.params as never[], this.#how) as unknown as Pending;
    const call = new Call(pending, query, limits, since);
    this.#sent.push(call);
    const isAlone = this.#sent.size === 1;
    pending.values();
    // the rows of a query with `receive` are none
    if (query.receive) pending.forEach(query.receive() as never);
    return pending.then(
      (rows) => {
        this.#respond(call, isAlone);
        if (call.failure !== undefined) throw call.failure;
        return { rows, count: rows.count, command: rows.command };
      },
      (error) => {
        if (error !== call.failure) this.#fail(call, error);
        throw call.failure;
      },
    );
  }

  /** A promise that rejects when the connection is lost; and how not to hear of it any more. */
  lost(): { readonly lost: Promise<never>; readonly forget: () => void } {
    let listener = (_: unknown) => {};
    const lost = new Promise<never>((_, reject) => {
      listener = reject;
      this.#whenLost.add(reject);
    });
    return { lost, forget: () => void this.#whenLost.delete(listener) };
  }

  /** Looks after the limits of what is in flight. */
  check(now: number): void {
    const head = this.#sent.peek();
    if (!head || this.isDead) return;
    const { runMs, deadline, isCancellable } = head.limits;
    const limit = Math.min(this.#headSince + runMs, deadline);
    if (now >= limit) {
      this.lose('lost', new TimeoutError('statement', this.#circumstances(head)));
      return;
    }
    if (isCancellable && now >= limit - graceMs(limit - this.#headSince)) this.#cancel(head);
    for (const call of this.#sent) {
      if (call === head || now < call.acquireBy) continue;
      this.#cut(call, new BusyError('acquire_timeout', { outcome: 'unknown' })); // it only reads
    }
  }

  /** Milliseconds for which its server has sent nothing, while something is in flight. */
  silentMs(now: number): number {
    const { bytesRead } = this.socket;
    if (bytesRead !== this.#bytesSeen) {
      this.#bytesSeen = bytesRead;
      this.#heardAt = now;
    }
    return this.#sent.size ? now - Math.max(this.#headSince, this.#heardAt) : 0;
  }

  /** Its server is there after all. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  /** Closes the connection now. What is in flight fails, with `first` for the statement that is the first. */
  lose(reason: ConnectionReason, first?: unknown): void {
    if (this.isDead) return;
    this.isDead = true;
    const head = this.#sent.peek();
    const isOurs = reason === 'closed' || reason === 'silent' || first instanceof TimeoutError;
    if (isOurs && head?.limits.isCancellable) this.#cancel(head); // or it goes on, and may be done later
    for (const [i, call] of this.#sent.remove(() => true).entries()) {
      const own = i === 0 ? first : undefined;
      this.#cut(call, own ?? new ConnectionError(reason, this.#circumstances(call)));
    }
    const error = first instanceof TimeoutError ? first : new ConnectionError(reason, { outcome: 'rolled_back' });
    for (const listener of this.#whenLost) listener(error);
    this.#whenLost.clear();
    void this.sql.end({ timeout: 0 });
    this.socket.destroy();
    this.events?.onLost(this, reason);
  }

  /** Closes the connection as the server expects it: nothing is in flight. Settles within the time given, and never fails. */
  async end(timeoutMs: number): Promise<void> {
    this.isDead = true;
    await this.sql.end({ timeout: timeoutMs / 1000 }).catch(() => {});
    this.socket.destroy();
  }

  /** Fails a statement to which the server has not responded. When it does, that counts for those behind it. */
  #cut(call: Call, error: unknown): void {
    if (call.failure !== undefined) return;
    call.failure = error;
    const { pending } = call;
    const { reject } = pending;
    pending.resolve = () => this.#respond(call, false);
    pending.reject = (failure) => this.#fail(call, failure);
    reject(error);
  }

  /** The server has responded to it. */
  #respond(call: Call, isAlone: boolean): void {
    if (this.isDead || !this.#leave(call, isAlone)) return;
    if (this.#isUnconfirmed) call.failure ??= this.#unconfirmed(call);
    this.events?.onProgress(this);
  }

  /** It is in flight no more; false where it was not the next one: the driver has lost count then. */
  #leave(call: Call, isAlone = false): boolean {
    if (this.#sent.peek() !== call) {
      this.lose('lost');
      return false;
    }
    this.#sent.shift();
    const now = performance.now();
    if (isAlone) this.#fastestMs = Math.min(this.#fastestMs ?? LONGEST_WAY_MS, now - this.#headSince);
    this.#headSince = now;
    if (this.#sent.size === 0) {
      this.idleSince = now;
      this.socket.hold(false);
    }
    return true;
  }

  #fail(call: Call, error: unknown): void {
    if (this.isDead) return;
    if (isReadOnly(error)) this.isSuspect = true;
    const failure = classify(error, { ...this.#circumstances(call), wasCancelled: call.isCancelled });
    const isLost = endsConnection(error);
    call.failure ??= failure;
    if (!isLost && this.#leave(call)) this.events?.onProgress(this);
    else this.lose(failure instanceof ConnectionError ? failure.reason : 'lost');
  }

  /**
   * What the server notices. A commit that waits for a synchronous standby, and is cancelled, is reported as done, with a warning: whether it
   * outlives the primary is not known.
   */
  notice({ code, routine }: { readonly code?: string; readonly routine?: string }): void {
    if (code === '01000' && routine === 'SyncRepWaitForLSN') this.#isUnconfirmed = true;
  }

  #unconfirmed(call: Call): TimeoutError {
    this.#isUnconfirmed = false;
    return new TimeoutError(call.isCancelled ? 'statement' : 'cancelled', {
      outcome: 'unknown',
      reads: call.query.reads,
    });
  }

  #circumstances({ limits: { whenLost }, query }: Call) {
    return { whenLost, outcome: whenLost, reads: query.reads, reconnects: this.reconnects };
  }

  /** Asks the server to cancel a statement, over a connection of its own. What the server makes of it is heard from the statement. */
  #cancel(call: Call): void {
    if (call.isCancelled) return;
    call.isCancelled = true;
    this.#hasCancelled = true;
    this.socket.allowCancel();
    // postgres.js 3.4.9: `cancel()` returns null, and leaves the rejection of a request that cannot be delivered to end the process
    const { pending } = call;
    const { canceller } = pending;
    if (!canceller) return;
    pending.canceller = null;
    const answered = Promise.resolve(canceller(pending)).catch(() => {});
    const cancelling = before(deadlineIn(CANCEL_WAIT_MS), () => new TimeoutError('operation'), answered)
      .catch(() => {})
      .then(() => {
        if (this.#cancelling === cancelling) this.#cancelling = undefined;
      });
    this.#cancelling = cancelling;
  }
}

/**
 * postgres.js 3.4.9 fails the statement that is in flight, instead of the one whose value it cannot write, and gives results to the wrong
 * statements from then on. So what it cannot write is refused here.
 */
export function refusedParameters(params: readonly unknown[]): TypeError | undefined {
  if (params.length >= 65_534) return new TypeError('a statement has more than 65,533 values');
  for (const value of params) {
    const type = typeof value;
    if (type === 'string' || value === null || type === 'number' || type === 'boolean' || type === 'bigint') continue;
    if (!(value instanceof Uint8Array)) return new TypeError(`a statement binds a value of type ${type}`);
  }
  return undefined;
}
