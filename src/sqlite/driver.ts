/**
 * better-sqlite3, which is synchronous, behind the asynchronous port.
 *
 * One connection writes, first come first served; a second one, read-only, answers reads of a file beside it (WAL), so
 * that a reader never waits for a writer nor sees what is not committed. A `:memory:` database has only the first, and
 * everything waits in its queue.
 *
 * The connections' own busy timeout is 0, because SQLite would sleep inside the event loop (better-sqlite3#155): a lock
 * that another process holds is waited out here, asynchronously.
 */

import { clearTimeout, setTimeout } from 'node:timers';
import type Sqlite from 'better-sqlite3';
import { before, deadlineIn } from '../driver/deadline.ts';
import type { Connection, Driver, Query, Result, TransactionLimits } from '../driver/port.ts';
import { backoff } from '../driver/retry.ts';
import { Turns } from '../driver/turns.ts';
import { BusyError, ClosedError, ConnectionError, TimeoutError, TransactionAbortedError } from '../errors.ts';
import { Breath } from './breath.ts';
import { BulkThread } from './bulk-thread.ts';
import { classify, isBusy } from './errors.ts';
import { type Committing, commitTogether, type Outcome, settle, type Write } from './group-commit.ts';
import { Statements } from './statements.ts';
import { OpenTransaction } from './transaction.ts';
import { WalWatch } from './wal.ts';

/** The longest wait between two tries for a lock: short, since SQLite has no queue that would keep our place. */
const LONGEST_WAIT_MS = 16;
/** Milliseconds that threads may take to end when the store is closed. */
const THREADS_END_MS = 1_000;

/** A thread, from before it has started until it has ended. */
interface Working {
  thread: BulkThread | undefined;
  readonly ended: Promise<unknown>;
}

export interface SqliteConnectionOptions {
  /** Milliseconds to wait for a lock that another process holds. */
  readonly busyTimeoutMs: number;
  /** Milliseconds to wait for a turn of the writer. */
  readonly acquireTimeoutMs: number;
  readonly maxQueued: number;
  readonly transactionTimeoutMs: number;
}

export class SqliteConnection implements Connection {
  readonly #turns: Turns;
  readonly #writing: Statements;
  readonly #reading: Statements | undefined;
  readonly #begins: Sqlite.Statement;
  readonly #commits: Sqlite.Statement;
  readonly #rollsBack: Sqlite.Statement;
  readonly #breath: Breath;
  readonly #committing: Committing;
  readonly #wal: WalWatch | undefined;
  /** Writes that wait for their turn, while others may join them. */
  #gathering: Write[] | undefined;
  #closed = false;
  /** When the turn that is running was asked for. */
  #asked = 0;
  /** Since when another process holds the lock, as far as is known. */
  #heldSince: number | undefined;
  /** The transaction that is open, if any. */
  #open: OpenTransaction | undefined;
  /** Those that still work on the file. */
  readonly #threads = new Set<Working>();
  readonly bulkTransaction?: Required<Driver>['bulkTransaction'];

  /** @param reader a second, read-only connection to the same file; none for `:memory:`. */
  constructor(
    readonly writer: Sqlite.Database,
    private readonly reader: Sqlite.Database | undefined,
    private readonly options: SqliteConnectionOptions,
  ) {
    this.#turns = new Turns(options.acquireTimeoutMs, options.maxQueued);
    this.#breath = new Breath(options.maxQueued);
    this.#writing = new Statements(writer);
    this.#reading = reader && new Statements(reader);
    this.#wal = reader && new WalWatch(writer, writer.name, () => this.#copyWal());
    if (reader) this.bulkTransaction = (work) => this.#behindWrites(() => this.#bulk(work));
    // IMMEDIATE: a transaction that starts by reading could not become a writer once another process has written
    this.#begins = writer.prepare('begin immediate');
    this.#commits = writer.prepare('commit');
    this.#rollsBack = writer.prepare('rollback');
    this.#committing = {
      writer,
      statements: this.#writing,
      begins: this.#begins,
      commits: this.#commits,
      rollsBack: this.#rollsBack,
      saves: writer.prepare('savepoint one'),
      releases: writer.prepare('release one'),
      undoes: writer.prepare('rollback to one'),
    };
  }

  exec(query: Query): Result | Promise<Result> {
    const reading = this.#reading;
    if (!query.reads) return this.#write([query]);
    if (!reading) return this.#behindWrites(() => this.#locking(() => this.#writing.run(query)));
    if (this.#closed) return Promise.reject(new ClosedError());
    if (this.#breath.isDue()) return this.#breath.later(() => this.#read(reading, query));
    return this.#read(reading, query);
  }

  /** Busy is a reader while another process recovers or truncates the log. */
  #read(reading: Statements, query: Query): Result | Promise<Result> {
    if (this.#closed) return Promise.reject(new ClosedError());
    try {
      return reading.run(query);
    } catch (error) {
      return isBusy(error) ? this.#untilFree(() => reading.run(query)) : Promise.reject(classify(error));
    }
  }

  batch(queries: readonly Query[]): Promise<Result> {
    return this.#write(queries);
  }

  /** SQLite's transactions are always serializable. */
  transaction<T>(work: (inner: Driver) => Promise<T>, limits: TransactionLimits = {}): Promise<T> {
    const deadline = deadlineIn(limits.timeoutMs ?? this.options.transactionTimeoutMs);
    return this.#behindWrites(() => this.#transact(work, deadline), deadline);
  }

  /**
   * A transaction with foreign keys off. PRAGMA foreign_keys does nothing inside a transaction, and a table's rebuild would
   * cascade its DROP TABLE into the children (drizzle-orm#5782). No other write gets in between.
   */
  transactionWithoutForeignKeys<T>(work: (inner: Driver) => Promise<T>): Promise<T> {
    return this.#behindWrites(async () => {
      this.writer.pragma('foreign_keys = OFF');
      try {
        return await this.#transact(work, Number.POSITIVE_INFINITY);
      } finally {
        this.writer.pragma('foreign_keys = ON');
      }
    });
  }

  async #transact<T>(work: (inner: Driver) => Promise<T>, deadline: number): Promise<T> {
    await this.#locking(() => this.#begins.run(), deadline);
    const transaction = new OpenTransaction(this.writer, this.#writing, this.#breath);
    return this.#during(transaction, async () => {
      try {
        const late = () => new TimeoutError('transaction');
        const result = await before(deadline, late, Promise.race([work(transaction.driver()), transaction.aborted]));
        transaction.check();
        if (performance.now() >= deadline) throw late();
        transaction.end();
        this.#wal?.beforeCommit(true);
        await this.#locking(() => this.#commits.run());
        this.#wal?.afterCommit();
        return result;
      } catch (error) {
        transaction.end();
        if (this.writer.inTransaction) this.#rollsBack.run();
        throw error;
      }
    });
  }

  /** A close that has waited long enough lets the open transaction fail. */
  async #during<T>(transaction: OpenTransaction, work: () => Promise<T>): Promise<T> {
    this.#open = transaction;
    try {
      return await work();
    } finally {
      this.#open = undefined;
    }
  }

  async #bulk<T>(work: (inner: Driver) => Promise<T>): Promise<T> {
    const thread = await this.#startThread();
    if (!thread) return this.#transact(work, Number.POSITIVE_INFINITY);
    const opened = new OpenTransaction(this.writer, this.#writing, this.#breath);
    const run = (...queries: readonly Query[]) => this.#lockingLater(() => thread.run(queries));
    let hasEnded = false;
    return this.#during(opened, async () => {
      try {
        await run(command('begin immediate'));
        const batch: Driver['batch'] = async (queries) => {
          if (hasEnded || !thread.inTransaction) throw new TransactionAbortedError();
          try {
            return await thread.run(queries);
          } catch (error) {
            throw classify(error);
          }
        };
        const transaction: Driver['transaction'] = (nested) =>
          nested({ exec: (query) => batch([query]), batch, transaction });
        const result = await Promise.race([transaction(work), opened.aborted]);
        hasEnded = true;
        if (!thread.inTransaction) throw new TransactionAbortedError();
        await run(command('commit'));
        return result;
      } catch (error) {
        hasEnded = true;
        if (thread.inTransaction) await thread.run([command('rollback')]).catch(() => {}); // or it is undone when it ends
        throw error;
      } finally {
        thread.end();
      }
    });
  }

  async #startThread(): Promise<BulkThread | undefined> {
    const starting = BulkThread.start(this.writer);
    const working: Working = { thread: undefined, ended: starting.then((thread) => thread?.ended) };
    this.#threads.add(working);
    void working.ended.then(() => this.#threads.delete(working));
    const thread = await starting;
    working.thread = thread;
    if (thread) void this.#wal?.during(() => thread.ended); // the thread copies the log
    if (!this.#closed) return thread;
    thread?.end();
    throw new ClosedError();
  }

  /** False where there can be no thread. */
  async #copyWal(): Promise<boolean> {
    const thread = await this.#startThread();
    thread?.end();
    await thread?.ended;
    return thread !== undefined;
  }

  async close(timeoutMs: number): Promise<void> {
    this.#gathering = undefined; // no more writes join those that still happen
    const timer = setTimeout(() => {
      this.#closed = true;
      this.#turns.expireAll(() => new ClosedError());
      this.#open?.abort(new ConnectionError('closed', { outcome: 'rolled_back' }));
    }, timeoutMs);
    const deadline = deadlineIn(timeoutMs);
    await this.#turns.runAll(async () => {
      await this.#breath.later(() => {}, Number.POSITIVE_INFINITY); // reads that wait for the loop's turn come first
      this.#closed = true;
      clearTimeout(timer);
      for (const { thread } of this.#threads) thread?.keep();
      const ended = Promise.all([...this.#threads].map((working) => working.ended));
      const late = () => new TimeoutError('operation');
      await before(Math.max(deadline, deadlineIn(THREADS_END_MS)), late, ended).catch(() => {
        for (const { thread } of this.#threads) thread?.kill();
        return before(deadlineIn(THREADS_END_MS), late, ended).catch(() => {});
      });
      this.reader?.close();
      this.writer.close();
    });
  }

  /**
   * A write of known statements. Those that wait for the writer at the same moment share one transaction, and so one flush of
   * the disk; a lone one has its own. Each is acknowledged after the commit, and fails alone.
   */
  #write(queries: readonly Query[]): Promise<Result> {
    if (this.#closed) return Promise.reject(new ClosedError());
    return new Promise((resolve, reject) => {
      const waiter = this.#turns.wait(reject);
      if (!waiter) return;
      const write: Write = { queries, asked: performance.now(), waiter, resolve, reject };
      if (this.#gathering) this.#gathering.push(write);
      else {
        const group = [write];
        this.#gathering = group;
        this.#schedule(group);
      }
    });
  }

  /** What is not such a write comes after those that are waiting, and before those that come later. */
  #behindWrites<T>(work: () => T | Promise<T>, deadline?: number): Promise<T> {
    this.#gathering = undefined;
    return this.#turns.run(this.#inTurn(work), deadline);
  }

  #schedule(group: Write[]): void {
    const run = (writes: readonly Write[]): void | Promise<void> => {
      if (!writes.length) return;
      this.#checkOpen();
      this.#wal?.beforeCommit();
      this.#asked = writes.at(-1)?.asked ?? this.#asked; // no write waits for less than its time, since they wait together
      const outcomes = this.#locking(() => commitTogether(this.#committing, writes));
      // synchronously where nothing is in the way
      return outcomes instanceof Promise ? outcomes.then((all) => deliver(all, writes)) : deliver(outcomes, writes);
    };
    // the rest of a large group in the same turn, so that nothing comes in between and none is left behind by a close
    const deliver = (outcomes: readonly Outcome[], writes: readonly Write[]): void | Promise<void> => {
      for (const [i, outcome] of outcomes.entries()) settle(writes[i] as Write, outcome); // there is one for each
      this.#wal?.afterCommit();
      const rest = writes.slice(outcomes.length);
      return rest.length ? this.#breath.take().then(() => run(rest)) : undefined;
    };
    const turn = this.#inTurn(() => {
      if (this.#gathering === group) this.#gathering = undefined;
      return run(group.filter(({ waiter }) => this.#turns.begin(waiter))); // the others have waited for too long
    });
    this.#turns.runAll(turn).catch((error) => {
      if (this.#gathering === group) this.#gathering = undefined; // closed before its turn: no other write may join it
      for (const { waiter, reject } of group) {
        this.#turns.begin(waiter);
        reject(error); // those that are settled already stay so
      }
    });
  }

  #inTurn<T>(work: () => T | Promise<T>): () => T | Promise<T> {
    const asked = performance.now();
    const turn = () => {
      this.#asked = asked;
      this.#checkOpen();
      return work();
    };
    return () => (this.#breath.isDue() ? this.#breath.take().then(turn) : turn());
  }

  #checkOpen(): void {
    if (this.#closed) throw new ClosedError();
  }

  /** Takes a step that needs the lock, again and again while another process holds it; synchronously, without a promise, when none does. */
  #locking<T>(step: () => T, deadline?: number): T | Promise<T> {
    try {
      const result = step();
      this.#heldSince = undefined;
      return result;
    } catch (error) {
      if (!isBusy(error)) throw classify(error);
    }
    return this.#lockingLater(step, deadline);
  }

  async #lockingLater<T>(step: () => T | Promise<T>, deadline = Number.POSITIVE_INFINITY): Promise<T> {
    // what waited behind others for the same lock has waited for it already
    this.#heldSince ??= performance.now();
    const since = Math.max(this.#asked, this.#heldSince);
    const result = await this.#untilFree(step, Math.min(since + this.options.busyTimeoutMs, deadline));
    this.#heldSince = undefined;
    return result;
  }

  async #untilFree<T>(step: () => T | Promise<T>, end = deadlineIn(this.options.busyTimeoutMs)): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      await backoff(attempt, 1, LONGEST_WAIT_MS);
      this.#checkOpen();
      try {
        return await step();
      } catch (error) {
        if (!isBusy(error)) throw classify(error);
        if (performance.now() >= end) throw new BusyError('lock', { cause: error });
      }
    }
  }
}

const command = (sql: string): Query => ({ sql, params: [], reads: false });
