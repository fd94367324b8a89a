/** BEGIN, what a callback does, and COMMIT or ROLLBACK, on a connection that is held for it. */
import { before } from '../driver/deadline.ts';
import type { Driver, Isolation, Query, Result } from '../driver/port.ts';
import { type CallOutcome, ConnectionError, TimeoutError, TransactionAbortedError } from '../errors.ts';
import { type Client, type ClientResult, refusedParameters } from './client.ts';

/** Milliseconds that COMMIT or ROLLBACK may take beyond the limit of the transaction. */
const END_MS = 5_000;

export interface Transaction {
  readonly client: Client;
  readonly isolation: Isolation | undefined;
  /** `performance.now()` by which it must be committed. */
  readonly deadline: number;
  /** Milliseconds that each of its statements may run. */
  readonly statementTimeoutMs: number;
}

/** Runs `work` in a transaction. Settles by the deadline and END_MS, whatever `work`, the server or the network does. */
export async function runTransaction<T>(transaction: Transaction, work: (inner: Driver) => Promise<T>): Promise<T> {
  const { client, isolation, deadline } = transaction;
  const scope = new OpenTransaction(transaction);
  const { lost, forget } = client.lost();
  lost.catch(() => {}); // it may come when nothing is raced with it
  try {
    await scope.run(command(isolation ? `begin isolation level ${isolation}` : 'begin'), 'rolled_back');
    const result = await before(
      deadline,
      () => new TimeoutError('transaction'),
      Promise.race([work(scope.driver(1)), lost]),
    );
    scope.end();
    const { command: done } = await scope.finish('commit', 'unknown');
    // the server says so where a statement had failed
    if (done !== 'COMMIT') throw new TransactionAbortedError();
    return result;
  } catch (error) {
    scope.end();
    // a statement that is in flight stands in the way of ROLLBACK; without its connection, the server rolls back by itself
    if (client.load) client.lose('lost', error instanceof TimeoutError ? error : undefined);
    if (!client.isDead && !scope.isFinished)
      await scope.finish('rollback', 'rolled_back').catch(() => client.lose('lost'));
    throw error;
  } finally {
    forget();
  }
}

class OpenTransaction {
  #hasEnded = false;
  isFinished = false;

  constructor(private readonly transaction: Transaction) {}

  /** What is asked through its drivers from now on is refused, however late its callback comes to it. */
  end(): void {
    this.#hasEnded = true;
  }

  driver(depth: number): Driver {
    const exec = async (query: Query): Promise<Result> => {
      this.#check();
      return this.run(query, 'rolled_back');
    };
    return {
      exec,
      batch: async (queries) => {
        let result: Result = { rows: [], count: 0 };
        for (const query of queries) result = await exec(query);
        return result;
      },
      transaction: (work) => this.#nested(depth, work),
    };
  }

  run(query: Query, whenLost: CallOutcome): Promise<ClientResult> {
    const { deadline, statementTimeoutMs } = this.transaction;
    return this.#send(query, whenLost, query.timeoutMs ?? statementTimeoutMs, deadline, true);
  }

  finish(sql: 'commit' | 'rollback', whenLost: CallOutcome): Promise<ClientResult> {
    const { deadline, statementTimeoutMs } = this.transaction;
    this.isFinished = true;
    const limitMs = Math.max(END_MS, Math.min(statementTimeoutMs, deadline - performance.now()));
    return this.#send(command(sql), whenLost, limitMs, deadline + END_MS, false);
  }

  #send(query: Query, whenLost: CallOutcome, limitMs: number, deadline: number, isCancellable: boolean) {
    const refused = refusedParameters(query.params);
    if (refused) return Promise.reject(refused);
    const limits = { acquireMs: limitMs, runMs: limitMs, deadline, whenLost, isCancellable };
    return this.transaction.client.run(query, limits, performance.now());
  }

  async #nested<T>(depth: number, work: (inner: Driver) => Promise<T>): Promise<T> {
    const savepoint = `s${depth}`;
    const step = (sql: string) => {
      this.#check();
      return this.run(command(sql), 'rolled_back');
    };
    await step(`savepoint ${savepoint}`);
    try {
      const result = await work(this.driver(depth + 1));
      await step(`release savepoint ${savepoint}`);
      return result;
    } catch (error) {
      if (!this.#hasEnded && !this.transaction.client.isDead) await step(`rollback to savepoint ${savepoint}`);
      throw error;
    }
  }

  #check(): void {
    if (this.#hasEnded) throw new TransactionAbortedError();
    if (this.transaction.client.isDead) throw new ConnectionError('lost', { outcome: 'rolled_back' });
  }
}

const command = (sql: string): Query => ({ sql, params: [], reads: false });
