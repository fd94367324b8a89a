/**
 * Reads beyond one machine: those that may lag a little go to replicas, in turn; writes, transactions and reads that must not lag go
 * to the primary. A replica that cannot be reached is taken out, and comes back when it answers again.
 */
import type { Connection, Driver, Isolation, Query, Result } from '../driver/port.ts';
import { ConnectionError, SerializationError } from '../errors.ts';

const FIRST_PROBE_MS = 500;
const LONGEST_PROBE_MS = 15_000;
const PROBE: Query = { sql: 'select 1', params: [], reads: true };

/** One replica, and whether it answers. */
class Replica {
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  alive = true;

  constructor(readonly connection: Connection) {}

  /** Takes it out, and asks it now and then whether it is back: nobody else waits for it meanwhile. */
  lose(): void {
    if (!this.alive || this.#closed) return;
    this.alive = false;
    this.#probe(FIRST_PROBE_MS);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.connection.close();
  }

  #probe(waitMs: number): void {
    this.#timer = setTimeout(() => {
      this.connection.exec(PROBE).then(
        () => {
          this.alive = true;
        },
        () => {
          if (!this.#closed) this.#probe(Math.min(waitMs * 2, LONGEST_PROBE_MS));
        },
      );
    }, waitMs);
    this.#timer.unref(); // it keeps no process from ending
  }
}

export class ReplicatedConnection implements Connection {
  readonly #replicas: readonly Replica[];
  #turn = 0;

  constructor(
    readonly primary: Connection,
    replicas: readonly Connection[],
  ) {
    this.#replicas = replicas.map((connection) => new Replica(connection));
  }

  async exec(query: Query): Promise<Result> {
    if (!query.reads || query.fresh) return this.primary.exec(query);
    for (let tries = 0; tries < this.#replicas.length; tries++) {
      const replica = this.#replicas[this.#turn++ % this.#replicas.length];
      if (!replica?.alive) continue;
      try {
        return await replica.connection.exec(query);
      } catch (error) {
        // a replica also cancels what stands in the way of what it replays
        if (error instanceof ConnectionError) replica.lose();
        else if (!(error instanceof SerializationError)) throw error;
      }
    }
    return this.primary.exec(query);
  }

  batch(queries: readonly Query[]): Promise<Result> {
    return this.primary.batch(queries);
  }

  transaction<T>(work: (inner: Driver) => Promise<T>, isolation?: Isolation): Promise<T> {
    return this.primary.transaction(work, isolation);
  }

  async close(): Promise<void> {
    await Promise.all([this.primary.close(), ...this.#replicas.map((replica) => replica.close())]);
  }
}
