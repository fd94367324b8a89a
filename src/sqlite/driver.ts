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
import type Sqlite from 'better-sqlite3';
import { Mutex } from '../driver/mutex.ts';
import type { Connection, Driver, Query, Result } from '../driver/port.ts';
import { backoff } from '../driver/retry.ts';
import { BusyError, ClosedError, TransactionAbortedError } from '../errors.ts';
import { Breath } from './breath.ts';
import { BulkThread } from './bulk-thread.ts';
import { classify, isBusy } from './errors.ts';
import { type Committing, commitTogether, type Outcome, runAll, settle, type Write } from './group-commit.ts';
import { Statements } from './statements.ts';

/** SQLite's own default: pages in the log after which a commit copies it into the file. */
const CHECKPOINT_PAGES = 1000;

/** The longest wait between two tries for a lock: short, since SQLite has no queue that would keep our place. */
const LONGEST_WAIT_MS = 16;

export interface SqliteConnectionOptions {
  /** Milliseconds to wait for a lock that another process holds. */
  readonly busyTimeoutMs: number;
}

export class SqliteConnection implements Connection {
  readonly #lock = new Mutex();
  readonly #writing: Statements;
  readonly #reading: Statements | undefined;
  readonly #begins: Sqlite.Statement;
  readonly #commits: Sqlite.Statement;
  readonly #rollsBack: Sqlite.Statement;
  readonly #breath = new Breath();
  readonly #committing: Committing;
  /** Writes that wait for their turn, while others may join them. */
  #gathering: Write[] | undefined;
  #closed = false;
  /** When the turn that is under way was asked for. */
  #asked = 0;
  /** Since when another process holds the lock, as far as is known. */
  #heldSince: number | undefined;
  /** Those that still work on the file. */
  readonly #threads = new Set<BulkThread>();
  readonly bulkTransaction?: Required<Driver>['bulkTransaction'];

  /** @param reader a second, read-only connection to the same file; none for `:memory:`. */
  constructor(
    readonly writer: Sqlite.Database,
    private readonly reader: Sqlite.Database | undefined,
    private readonly options: SqliteConnectionOptions,
  ) {
    this.#writing = new Statements(writer);
    this.#reading = reader && new Statements(reader);
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
    if (this.#closed || this.#breath.isDue()) return this.#readLater(reading, query);
    try {
      return reading.run(query);
    } catch (error) {
      return isBusy(error) ? this.#readLater(reading, query) : Promise.reject(classify(error));
    }
  }

  async #readLater(reading: Statements, query: Query): Promise<Result> {
    if (this.#breath.isDue()) await this.#breath.take();
    this.#checkOpen();
    // busy: another process recovers or truncates the log
    try {
      return reading.run(query);
    } catch (error) {
      if (!isBusy(error)) throw classify(error);
    }
    return this.#untilFree(() => reading.run(query));
  }

  batch(queries: readonly Query[]): Promise<Result> {
    return this.#write(queries);
  }

  /** SQLite's transactions are always serializable. */
  transaction<T>(work: (inner: Driver) => Promise<T>): Promise<T> {
    return this.#behindWrites(() => this.#transact(work));
  }

  /**
   * A transaction with foreign keys off. PRAGMA foreign_keys does nothing inside a transaction, and a table's rebuild would
   * cascade its DROP TABLE into the children (drizzle-orm#5782). No other write gets in between.
   */
  transactionWithoutForeignKeys<T>(work: (inner: Driver) => Promise<T>): Promise<T> {
    return this.#behindWrites(async () => {
      this.writer.pragma('foreign_keys = OFF');
      try {
        return await this.#transact(work);
      } finally {
        this.writer.pragma('foreign_keys = ON');
      }
    });
  }

  async #transact<T>(work: (inner: Driver) => Promise<T>): Promise<T> {
    await this.#locking(() => this.#begins.run());
    try {
      const result = await work(this.#savepoint(1));
      this.#checkInside();
      await this.#locking(() => this.#commits.run());
      return result;
    } catch (error) {
      this.#rollback();
      throw error;
    }
  }

  async #bulk<T>(work: (inner: Driver) => Promise<T>): Promise<T> {
    const thread = await this.#startThread();
    if (!thread) return this.#transact(work);
    const run = (...queries: readonly Query[]) => this.#lockingLater(() => thread.run(queries));
    try {
      await run(command('begin immediate'));
      const batch: Driver['batch'] = async (queries) => {
        if (!thread.inTransaction) throw new TransactionAbortedError();
        try {
          return await thread.run(queries);
        } catch (error) {
          throw classify(error);
        }
      };
      const transaction: Driver['transaction'] = (nested) =>
        nested({ exec: (query) => batch([query]), batch, transaction });
      const result = await transaction(work);
      if (!thread.inTransaction) throw new TransactionAbortedError();
      await run(command('commit'));
      return result;
    } catch (error) {
      if (thread.inTransaction) await thread.run([command('rollback')]).catch(() => {}); // or it is undone when it ends
      throw error;
    } finally {
      thread.end();
    }
  }

  async #startThread(): Promise<BulkThread | undefined> {
    const thread = await BulkThread.start(this.writer);
    if (!thread) return undefined;
    this.#threads.add(thread);
    this.writer.pragma('wal_autocheckpoint = 0'); // the thread copies the log: a commit here would do it, and wait
    void thread.ended.then(() => {
      this.#threads.delete(thread);
      if (!this.#threads.size && this.writer.open) this.writer.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    });
    return thread;
  }

  close(): Promise<void> {
    this.#gathering = undefined; // no more writes join those that still happen
    return this.#lock.run(async () => {
      this.#closed = true;
      await this.#breath.take(); // reads that wait for the loop's turn come first
      for (const thread of this.#threads) thread.keep();
      await Promise.all([...this.#threads].map(({ ended }) => ended));
      this.reader?.close();
      this.writer.close();
    });
  }

  /**
   * A write of known statements. Those that wait for the writer at the same moment share one transaction, and so one flush of
   * the disk; a lone one has its own. Each is acknowledged after the commit, and fails alone.
   */
  #write(queries: readonly Query[]): Promise<Result> {
    return new Promise((resolve, reject) => {
      const write: Write = { queries, asked: performance.now(), resolve, reject };
      if (this.#gathering) this.#gathering.push(write);
      else {
        const group = [write];
        this.#gathering = group;
        this.#schedule(group);
      }
    });
  }

  /** What is not such a write comes after those that are waiting, and before those that come later. */
  #behindWrites<T>(work: () => T | Promise<T>): Promise<T> {
    this.#gathering = undefined;
    return this.#exclusively(work);
  }

  #schedule(group: Write[]): void {
    const run = (writes: readonly Write[]): void | Promise<void> => {
      this.#asked = writes.at(-1)?.asked ?? this.#asked; // nobody waits for less than their time, since they wait together
      const outcomes = this.#locking(() => commitTogether(this.#committing, writes));
      // at once where nothing is in the way
      return outcomes instanceof Promise ? outcomes.then((all) => deliver(all, writes)) : deliver(outcomes, writes);
    };
    // the rest of a large group in the same turn, so that nothing comes in between and none is left behind by a close
    const deliver = (outcomes: readonly Outcome[], writes: readonly Write[]): void | Promise<void> => {
      for (const [i, outcome] of outcomes.entries()) settle(writes[i] as Write, outcome); // there is one for each
      const rest = writes.slice(outcomes.length);
      return rest.length ? this.#breath.take().then(() => run(rest)) : undefined;
    };
    this.#exclusively(() => {
      if (this.#gathering === group) this.#gathering = undefined;
      return run(group);
    }).catch((error) => {
      if (this.#gathering === group) this.#gathering = undefined; // closed before its turn: nobody else may join it
      for (const { reject } of group) reject(error); // those that are settled already stay so
    });
  }

  #savepoint(depth: number): Driver {
    return {
      exec: async (query) => {
        this.#checkInside();
        return classified(() => this.#writing.run(query));
      },
      batch: async (queries) => {
        this.#checkInside();
        return classified(() => runAll(this.#writing, queries));
      },
      transaction: async (work) => {
        this.#checkInside();
        classified(() => this.writer.exec(`savepoint s${depth}`));
        try {
          const result = await work(this.#savepoint(depth + 1));
          classified(() => this.writer.exec(`release s${depth}`));
          return result;
        } catch (error) {
          // SQLite has rolled everything back by itself after some failures: disk full, I/O error, RAISE(ROLLBACK)
          if (this.writer.inTransaction) this.writer.exec(`rollback to s${depth}; release s${depth}`);
          throw error;
        }
      },
    };
  }

  /** Once SQLite has rolled back by itself, what follows would be written outside of any transaction. */
  #checkInside(): void {
    if (!this.writer.inTransaction) throw new TransactionAbortedError();
  }

  #rollback(): void {
    if (this.writer.inTransaction) this.#rollsBack.run();
  }

  #exclusively<T>(work: () => T | Promise<T>): Promise<T> {
    const asked = performance.now();
    const turn = () => {
      this.#asked = asked;
      this.#checkOpen();
      return work();
    };
    return this.#lock.run(() => (this.#breath.isDue() ? this.#breath.take().then(turn) : turn()));
  }

  #checkOpen(): void {
    if (this.#closed) throw new ClosedError();
  }

  /** Takes a step that needs the lock, again and again while another process holds it; at once, without a promise, when none does. */
  #locking<T>(step: () => T): T | Promise<T> {
    try {
      const result = step();
      this.#heldSince = undefined;
      return result;
    } catch (error) {
      if (!isBusy(error)) throw classify(error);
    }
    return this.#lockingLater(step);
  }

  async #lockingLater<T>(step: () => T | Promise<T>): Promise<T> {
    // who waited behind others for the same lock has waited for it already
    this.#heldSince ??= performance.now();
    const result = await this.#untilFree(step, Math.max(this.#asked, this.#heldSince));
    this.#heldSince = undefined;
    return result;
  }

  async #untilFree<T>(step: () => T | Promise<T>, since = performance.now()): Promise<T> {
    const end = since + this.options.busyTimeoutMs;
    for (let attempt = 0; ; attempt++) {
      await backoff(attempt, 1, LONGEST_WAIT_MS);
      this.#checkOpen();
      try {
        return await step();
      } catch (error) {
        if (!isBusy(error)) throw classify(error);
        if (performance.now() >= end) throw new BusyError({ cause: error });
      }
    }
  }
}

const command = (sql: string): Query => ({ sql, params: [], reads: false });

function classified<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw classify(error);
  }
}
