/**
 * postgres.js behind the port: a pool, whose statements are named and pipelined (one round trip once the server knows them),
 * and transactions on a connection of their own.
 */
import type Postgres from 'postgres';
import type { Connection, Driver, Isolation, Query, Result } from '../driver/port.ts';
import { ClosedError, ConnectionError } from '../errors.ts';
import { classify, isConnectionLost } from './errors.ts';

type Client = Pick<Postgres.Sql, 'unsafe'>;

/** Of one transaction's connection. */
interface Life {
  lost: boolean;
}

const never = new Promise<never>(() => {});

export class PostgresConnection implements Connection {
  readonly #pool: Driver;
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;

  constructor(
    private readonly client: Postgres.Sql,
    private readonly prepare: boolean,
  ) {
    this.#pool = this.#on(client, (work, isolation) =>
      this.#inTransaction({ lost: false }, (run) => begin(client, isolation, run), work),
    );
  }

  exec(query: Query): Promise<Result> {
    return this.#tracked(() => this.#pool.exec(query));
  }

  batch(queries: readonly Query[]): Promise<Result> {
    return this.#tracked(() => this.#pool.batch(queries));
  }

  transaction<T>(work: (inner: Driver) => Promise<T>, isolation?: Isolation): Promise<T> {
    return this.#tracked(() => this.#pool.transaction(work, isolation));
  }

  async close(): Promise<void> {
    this.#closed = true;
    // end() refuses what has not reached the socket yet, and the statements of open transactions
    await Promise.allSettled(this.#underWay);
    await this.client.end();
  }

  async #tracked<T>(start: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new ClosedError();
    const running = start();
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  #on(client: Client, transaction: Driver['transaction'], life?: Life): Driver {
    const exec = async ({ sql, params }: Query): Promise<Result> => {
      if (life?.lost) throw new ConnectionError();
      try {
        // every value goes as the text that the codecs made of it
        const rows = await client.unsafe(sql, params as never[], { prepare: this.prepare }).values();
        return { rows, count: rows.count };
      } catch (error) {
        if (life && isConnectionLost(error)) life.lost = true;
        throw classify(error);
      }
    };
    const batch = async (queries: readonly Query[]): Promise<Result> => {
      const [only] = queries;
      if (queries.length === 1 && only) return exec(only);
      if (!life) return transaction((inner) => inner.batch(queries));
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
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let own: { readonly error: unknown } | undefined; // what the callback itself threw is its caller's, as it is
      const run = async (client: Postgres.TransactionSql): Promise<T> => {
        const savepoint: Driver['transaction'] = (nested) =>
          this.#inTransaction(life, (inner) => client.savepoint(inner) as Promise<unknown>, nested);
        try {
          return await work(this.#on(client, savepoint, life));
        } catch (error) {
          own = { error };
          if (life.lost) reject(error);
          throw error;
        } finally {
          if (life.lost) await never;
        }
      };
      open(run).then(
        (result) => resolve(result as T),
        (error) => {
          if (isConnectionLost(error)) life.lost = true;
          reject(own?.error === error ? error : classify(error));
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
