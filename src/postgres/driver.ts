/**
 * postgres.js behind the port: statements, which are named and pipelined (one round trip once the server knows them), on a pool of
 * connections, and transactions on a connection of their own.
 */
import type Postgres from 'postgres';
import type { Connection, Driver, Isolation, Query, Result } from '../driver/port.ts';
import { ClosedError, ConnectionError } from '../errors.ts';
import { classify, isConnectionLost } from './errors.ts';
import { type Client, Pool, type PoolOptions, type Slot } from './pool.ts';

type Sql = Pick<Postgres.Sql, 'unsafe'>;
type Rows = readonly (readonly unknown[])[] & { readonly count: number };

/** Of one transaction's connection. */
interface Life {
  lost: boolean;
}

const never = new Promise<never>(() => {});

export class PostgresConnection implements Connection {
  readonly #pool: Pool;
  readonly #prepare: boolean;
  #closed = false;

  /** @param make a client, which tells when its connection has closed. */
  constructor(
    make: (onclose: () => void) => Client,
    { prepare, ...options }: PoolOptions & { readonly prepare: boolean },
  ) {
    this.#pool = new Pool(make, options);
    this.#prepare = prepare;
  }

  /** Promises are few here: under AsyncLocalStorage each of them takes its time. */
  exec(query: Query): Promise<Result> {
    if (this.#closed) return Promise.reject(new ClosedError());
    const slot = this.#pool.take(query.alone ?? false);
    return slot instanceof Promise ? slot.then((taken) => this.#once(taken, query)) : this.#once(slot, query);
  }

  batch(queries: readonly Query[]): Promise<Result> {
    const [only] = queries;
    return queries.length === 1 && only ? this.exec(only) : this.transaction((inner) => inner.batch(queries));
  }

  async transaction<T>(work: (inner: Driver) => Promise<T>, isolation?: Isolation): Promise<T> {
    if (this.#closed) throw new ClosedError();
    const slot = await this.#pool.take(true);
    try {
      return await this.#inTransaction(
        { lost: false },
        (run) => begin(slot.client.sql, isolation, run),
        work,
        () => this.#pool.discard(slot),
      );
    } finally {
      this.#pool.release(slot);
    }
  }

  /** Gives up every connection: what is under way fails with a ConnectionError, and what comes later connects again. */
  abandon(): void {
    this.#pool.discardAll();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool.close();
  }

  async #once(slot: Slot, query: Query): Promise<Result> {
    try {
      const rows = await this.#send(slot.client.sql, query);
      return { rows, count: rows.count };
    } catch (error) {
      if (isConnectionLost(error)) this.#pool.discard(slot);
      throw classify(error);
    } finally {
      this.#pool.release(slot);
    }
  }

  /** Every value goes as the text that the codecs made of it. The rows of a query with `receive` are none. */
  #send(client: Sql, { sql, params, receive }: Query): PromiseLike<Rows> {
    const query = client.unsafe(sql, params as never[], { prepare: this.#prepare }).values();
    return receive ? query.forEach(receive() as never) : query;
  }

  /** What a transaction works with. */
  #inside(client: Sql, transaction: Driver['transaction'], life: Life, discard: () => void): Driver {
    const exec = async (query: Query): Promise<Result> => {
      if (life.lost) throw new ConnectionError();
      try {
        const rows = await this.#send(client, query);
        return { rows, count: rows.count };
      } catch (error) {
        if (isConnectionLost(error)) {
          life.lost = true;
          discard();
        }
        throw classify(error);
      }
    };
    const batch = async (queries: readonly Query[]): Promise<Result> => {
      let result: Result = { rows: [], count: 0 };
      for (const query of queries) result = await exec(query);
      return result;
    };
    return { exec, batch, transaction };
  }

  /**
   * BEGIN or SAVEPOINT. When the server ends a connection inside a transaction, postgres.js writes ROLLBACK to its null
   * socket outside any promise, which ends the process (porsager/postgres#1208). So once the connection is lost, the
   * callback never returns to postgres.js.
   */
  #inTransaction<T>(
    life: Life,
    open: (run: (client: Postgres.TransactionSql) => Promise<T>) => Promise<unknown>,
    work: (inner: Driver) => Promise<T>,
    discard: () => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let own: { readonly error: unknown } | undefined; // what the callback itself threw is its caller's, as it is
      const run = async (client: Postgres.TransactionSql): Promise<T> => {
        const savepoint: Driver['transaction'] = (nested) =>
          life.lost
            ? Promise.reject(new ConnectionError())
            : this.#inTransaction(life, (inner) => client.savepoint(inner) as Promise<unknown>, nested, discard);
        try {
          return await work(this.#inside(client, savepoint, life, discard));
        } catch (error) {
          own = { error };
          if (life.lost) reject(error);
          throw error;
        } finally {
          if (life.lost) {
            reject(new ConnectionError());
            await never;
          }
        }
      };
      open(run).then(
        (result) => resolve(result as T),
        (error) => {
          if (own?.error === error) return reject(error);
          if (isConnectionLost(error)) {
            life.lost = true;
            discard();
          }
          reject(classify(error));
        },
      );
    });
  }
}

const begin = <T>(
  client: Postgres.Sql,
  isolation: Isolation | undefined,
  run: (client: Postgres.TransactionSql) => Promise<T>,
): Promise<unknown> => (isolation ? client.begin(`isolation level ${isolation}`, run) : client.begin(run));
