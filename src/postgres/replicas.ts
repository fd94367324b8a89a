/**
 * Reads beyond one machine: those that may lag a little go to replicas, in turn; writes, transactions and reads that must not lag go
 * to the primary. A replica that cannot be reached, or is silent, is taken out, and comes back when it answers again.
 */
import { clearTimeout, setTimeout } from 'node:timers';
import { deadlineIn } from '../driver/deadline.ts';
import type { Connection, Driver, Query, Result, TransactionLimits } from '../driver/port.ts';
import { BusyError, ConnectionError, SerializationError } from '../errors.ts';

/** A connection that can give up all that is in flight: that fails with a ConnectionError, and later calls start afresh. */
export interface ReplicaConnection extends Connection {
  abandon(): void;
}

/** The primary; its limits are those of a read that a replica has failed, too. */
export interface PrimaryConnection extends Connection {
  /** Milliseconds within which a statement settles. */
  readonly boundMs: number;
}

const FIRST_PROBE_MS = 500;
const LONGEST_PROBE_MS = 15_000;
/** How long a replica may take for the simplest question. */
const PROBE_DEADLINE_MS = 5_000;

/** One replica, and whether it answers. */
class Replica {
  /** The next probe of one that is out. */
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  alive = true;

  constructor(readonly connection: ReplicaConnection) {}

  /** Takes it out, and asks it now and then whether it is back: no call waits for it meanwhile. */
  lose(): void {
    if (!this.alive || this.#isClosed) return;
    this.alive = false;
    this.connection.abandon(); // what waits for it is read elsewhere
    this.#probeIn(FIRST_PROBE_MS);
  }

  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (!this.alive) this.connection.abandon(); // or a silent one would be waited for
    await this.connection.close(timeoutMs);
  }

  #probeIn(waitMs: number): void {
    this.#timer = setTimeout(async () => {
      const deadline = deadlineIn(PROBE_DEADLINE_MS);
      this.alive = await Promise.resolve(
        this.connection.exec({ sql: 'select 1', params: [], reads: true, byKey: true, deadline }),
      ).then(
        () => true,
        () => false,
      );
      if (this.alive || this.#isClosed) return;
      this.connection.abandon();
      this.#probeIn(Math.min(waitMs * 2, LONGEST_PROBE_MS));
    }, waitMs);
    this.#timer.unref(); // it keeps no process from ending
  }
}

export class ReplicatedConnection implements Connection {
  readonly #replicas: readonly Replica[];
  #turn = 0;

  constructor(
    readonly primary: PrimaryConnection,
    replicas: readonly ReplicaConnection[],
  ) {
    this.#replicas = replicas.map((connection) => new Replica(connection));
  }

  async exec(query: Query): Promise<Result> {
    if (!query.reads || query.fresh) return this.primary.exec(query);
    const read = this.#bounded(query);
    for (let tries = 0; tries < this.#replicas.length; tries++) {
      const answer = await this.#ask(this.#next(), read);
      if (answer) return answer;
    }
    return this.primary.exec(read);
  }

  /** One replica as long as it answers, then the primary, which no replica is ahead of. */
  steady(): Driver {
    let replica = this.#replicas.find(({ alive }) => alive) && this.#next();
    while (replica && !replica.alive) replica = this.#next();
    return {
      exec: async (query) => {
        const read = this.#bounded(query);
        const answer = query.fresh ? undefined : await this.#ask(replica, read);
        if (!answer) replica = undefined;
        return answer ?? this.primary.exec(read);
      },
      batch: (queries) => this.batch(queries),
      transaction: (work, limits) => this.transaction(work, limits),
    };
  }

  batch(queries: readonly Query[]): Promise<Result> {
    return this.primary.batch(queries);
  }

  transaction<T>(work: (inner: Driver) => Promise<T>, limits?: TransactionLimits): Promise<T> {
    return this.primary.transaction(work, limits);
  }

  async close(timeoutMs: number): Promise<void> {
    await Promise.all([this.primary.close(timeoutMs), ...this.#replicas.map((replica) => replica.close(timeoutMs))]);
  }

  /** However many servers are tried, a read settles within the time of one. */
  #bounded(query: Query): Query {
    return { ...query, deadline: query.deadline ?? deadlineIn(this.primary.boundMs) };
  }

  #next(): Replica | undefined {
    return this.#replicas[this.#turn++ % this.#replicas.length];
  }

  /** Undefined where it cannot answer: it is gone, or it cancelled the read, which stood in the way of what it replays. */
  async #ask(replica: Replica | undefined, query: Query): Promise<Result | undefined> {
    if (!replica?.alive) return undefined;
    try {
      return await replica.connection.exec(query);
    } catch (error) {
      if (error instanceof ConnectionError) replica.lose();
      else if (!(error instanceof SerializationError || error instanceof BusyError)) throw error;
      return undefined;
    }
  }
}
