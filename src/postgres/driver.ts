/** postgres.js behind the port: statements and transactions on the connections of a pool. */
import { deadlineIn } from '../driver/deadline.ts';
import type { Connection, Driver, Query, Result, TransactionLimits } from '../driver/port.ts';
import { ClosedError } from '../errors.ts';
import type { Dialer } from './dial.ts';
import { Pool, type PoolOptions } from './pool.ts';
import { runTransaction } from './transaction.ts';

export interface PostgresConnectionOptions extends PoolOptions {
  readonly transactionTimeoutMs: number;
}

export class PostgresConnection implements Connection {
  readonly #pool: Pool;
  #isClosed = false;

  constructor(
    dialer: Dialer,
    private readonly options: PostgresConnectionOptions,
  ) {
    this.#pool = new Pool(dialer, options);
  }

  /** Milliseconds within which a statement settles, the wait for a connection included. */
  get boundMs(): number {
    return this.options.acquireTimeoutMs + this.options.statementTimeoutMs;
  }

  exec(query: Query): Promise<Result> {
    return this.#isClosed ? Promise.reject(new ClosedError()) : this.#pool.exec(query);
  }

  batch(queries: readonly Query[]): Promise<Result> {
    const [only] = queries;
    return queries.length === 1 && only ? this.exec(only) : this.transaction((inner) => inner.batch(queries));
  }

  async transaction<T>(work: (inner: Driver) => Promise<T>, limits: TransactionLimits = {}): Promise<T> {
    if (this.#isClosed) throw new ClosedError();
    const { statementTimeoutMs, transactionTimeoutMs } = this.options;
    const { isolation, timeoutMs = transactionTimeoutMs } = limits;
    const deadline = deadlineIn(timeoutMs);
    const client = await this.#pool.acquire(deadline);
    try {
      return await runTransaction({ client, isolation, deadline, statementTimeoutMs }, work);
    } finally {
      this.#pool.release(client);
    }
  }

  /** Closes every connection: what is in flight fails, and what comes later connects again. */
  abandon(): void {
    this.#pool.abandon('silent');
  }

  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    await this.#pool.close(timeoutMs);
  }
}
