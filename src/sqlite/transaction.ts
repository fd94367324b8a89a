/** What a callback works with inside an open transaction of the writer. */
import type Sqlite from 'better-sqlite3';
import type { Driver } from '../driver/port.ts';
import { TransactionAbortedError } from '../errors.ts';
import type { Breath } from './breath.ts';
import { classify } from './errors.ts';
import { runAll } from './group-commit.ts';
import type { Statements } from './statements.ts';

/** An open transaction of the one connection that writes. Once it has ended, the connection may be in another one. */
export class OpenTransaction {
  #hasEnded = false;
  #abort = (_: unknown) => {};
  /** Rejects when it is aborted. */
  readonly aborted: Promise<never>;

  constructor(
    private readonly writer: Sqlite.Database,
    private readonly statements: Statements,
    private readonly breath: Breath,
  ) {
    this.aborted = new Promise((_, reject) => {
      this.#abort = reject;
    });
    this.aborted.catch(() => {}); // it may come when nothing is raced with it
  }

  /** Lets it fail, whatever its callback does. */
  abort(error: unknown): void {
    this.#abort(error);
  }

  /** What is asked through its drivers from now on is refused, however late its callback comes to it. */
  end(): void {
    this.#hasEnded = true;
  }

  /** @throws TransactionAbortedError once SQLite has rolled back by itself: what follows would be written outside of any transaction. */
  check(): void {
    if (this.#hasEnded || !this.writer.inTransaction) throw new TransactionAbortedError();
  }

  driver(depth = 1): Driver {
    return {
      exec: (query) => this.#step(() => runAll(this.statements, [query])),
      batch: (queries) => this.#step(() => runAll(this.statements, queries)),
      transaction: async (work) => {
        await this.#step(() => this.writer.exec(`savepoint s${depth}`));
        try {
          const result = await work(this.driver(depth + 1));
          await this.#step(() => this.writer.exec(`release s${depth}`));
          return result;
        } catch (error) {
          // SQLite has rolled everything back by itself after some failures: disk full, I/O error, RAISE(ROLLBACK)
          if (!this.#hasEnded && this.writer.inTransaction)
            this.writer.exec(`rollback to s${depth}; release s${depth}`);
          throw error;
        }
      },
    };
  }

  /** Between statements, the event loop has its turn now and then: no limit could pass otherwise. */
  async #step<T>(step: () => T): Promise<T> {
    if (this.breath.isDue()) await this.breath.take();
    this.check();
    try {
      return step();
    } catch (error) {
      throw classify(error);
    }
  }
}
