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

/**
 * A client of one connection. The pool is ours: postgres.js 3.4.9 keeps state of a lost connection (half a result, a statement,
 * its write buffer) and uses it again after it has reconnected, so that calls hang or answer wrong. A client whose
 * connection was lost is thrown away here.
 */
interface Slot {
  readonly client: Postgres.Sql;
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
  readonly prepare: boolean;
}

/** 30 to 60 minutes, so that they do not all end at once. */
const someLifetime = () => 60 * (30 + Math.random() * 30);

export class PostgresConnection implements Connection {
  readonly #slots: Slot[] = [];
  readonly #waiting: { readonly alone: boolean; readonly resolve: (slot: Slot) => void }[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  /** Connections that are on their way out. */
  readonly #endings = new Set<Promise<unknown>>();
  #closed = false;

  /** @param make a client of one connection, which tells when that has closed. */
  constructor(
    private readonly make: (onclose: () => void) => Postgres.Sql,
    private readonly options: PoolOptions,
  ) {}

  exec(query: Query): Promise<Result> {
    return this.#tracked(() =>
      this.#with(false, (slot) => this.#on(slot.client, this.#begin, undefined, () => this.#discard(slot)).exec(query)),
    );
  }

  batch(queries: readonly Query[]): Promise<Result> {
    const [only] = queries;
    return queries.length === 1 && only ? this.exec(only) : this.transaction((inner) => inner.batch(queries));
  }

  transaction<T>(work: (inner: Driver) => Promise<T>, isolation?: Isolation): Promise<T> {
    return this.#tracked(() => this.#begin(work, isolation));
  }

  readonly #begin = <T>(work: (inner: Driver) => Promise<T>, isolation?: Isolation): Promise<T> =>
    this.#with(true, (slot) =>
      this.#inTransaction(
        { lost: false },
        (run) => begin(slot.client, isolation, run),
        work,
        () => this.#discard(slot),
      ),
    );

  /** Gives up every connection: what is under way fails with a ConnectionError, and what comes later connects again. */
  abandon(): void {
    for (const slot of [...this.#slots]) this.#discard(slot);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
    for (const slot of [...this.#slots]) this.#retire(slot);
    await Promise.all(this.#endings);
  }

  async #with<T>(alone: boolean, run: (slot: Slot) => Promise<T>): Promise<T> {
    const slot = this.#free(alone) ?? (await new Promise<Slot>((resolve) => this.#waiting.push({ alone, resolve })));
    try {
      return await run(slot);
    } finally {
      slot.load--;
      if (alone) slot.held = false;
      if (!slot.load) this.#rest(slot);
      for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
        const free = this.#free(next.alone);
        if (!free) break;
        this.#waiting.shift();
        next.resolve(free);
      }
    }
  }

  /** A connection for one transaction, or for a statement among others; it is taken already. */
  #free(alone: boolean): Slot | undefined {
    const now = performance.now();
    let slot = this.#slots.find(({ load }) => load === 0);
    if (slot && slot.until <= now) {
      this.#retire(slot);
      slot = this.#slots.find(({ load, until }) => load === 0 && until > now);
    }
    if (!slot && this.#slots.length < this.options.poolSize) slot = this.#connect();
    if (!slot && !alone && !this.#waiting.length)
      slot = this.#slots.filter(({ held, until }) => !held && until > now).sort((a, b) => a.load - b.load)[0]; // they are pipelined
    if (!slot) return undefined;
    clearTimeout(slot.idle);
    slot.load++;
    if (alone) slot.held = true;
    return slot;
  }

  #connect(): Slot {
    const { maxLifetimeSeconds = someLifetime() } = this.options;
    const slot: Slot = {
      client: this.make(() => this.#discard(slot)),
      load: 0,
      held: false,
      dead: false,
      until: performance.now() + maxLifetimeSeconds * 1000,
    };
    this.#slots.push(slot);
    return slot;
  }

  /** Nothing is under way on it. The client would end it by itself, but would still take statements while it does: they would be lost. */
  #rest(slot: Slot): void {
    const { idleTimeoutSeconds } = this.options;
    if (slot.until <= performance.now()) this.#retire(slot);
    else if (idleTimeoutSeconds !== undefined && !slot.dead)
      slot.idle = setTimeout(() => this.#retire(slot), idleTimeoutSeconds * 1000).unref();
  }

  /** Ends it as a guest leaves: nothing is under way on it. */
  #retire(slot: Slot): void {
    this.#end(slot, 5);
  }

  /** Its connection was lost, and all that is under way on it. */
  #discard(slot: Slot): void {
    this.#end(slot, 0);
  }

  #end(slot: Slot, timeout: number): void {
    if (slot.dead) return;
    slot.dead = true;
    clearTimeout(slot.idle);
    const at = this.#slots.indexOf(slot);
    if (at >= 0) this.#slots.splice(at, 1);
    const ending = slot.client.end({ timeout }).catch(() => {});
    this.#endings.add(ending);
    void ending.then(() => this.#endings.delete(ending));
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

  #on(client: Client, transaction: Driver['transaction'], life: Life | undefined, discard: () => void) {
    const exec = async ({ sql, params, receive }: Query): Promise<Result> => {
      if (life?.lost) throw new ConnectionError();
      try {
        // every value goes as the text that the codecs made of it
        const query = client.unsafe(sql, params as never[], { prepare: this.options.prepare }).values();
        if (receive) return { rows: [], count: (await query.forEach(receive() as never)).count };
        const rows = await query;
        return { rows, count: rows.count };
      } catch (error) {
        if (isConnectionLost(error)) {
          if (life) life.lost = true;
          discard();
        }
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
          return await work(this.#on(client, savepoint, life, discard));
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
