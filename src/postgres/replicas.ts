/**
 * Reads beyond one machine: those that may lag a little go to replicas, in turn; writes, transactions and reads that must not lag go
 * to the primary. A replica that cannot be reached, or stays silent, is taken out, and comes back when it answers again.
 */
import type { Connection, Driver, Isolation, Query, Result } from '../driver/port.ts';
import { ConnectionError, SerializationError } from '../errors.ts';

/** A connection that can give up what is under way on it: that fails with a ConnectionError, and later calls start afresh. */
export interface ReplicaConnection extends Connection {
  abandon(): void;
}

const FIRST_PROBE_MS = 500;
const LONGEST_PROBE_MS = 15_000;
/** How long a replica may take for the simplest question. */
const PROBE_DEADLINE_MS = 5_000;
/** How long reads of a replica may all be silent before it is asked whether it is there. */
const SILENCE_MS = 5_000;
const PROBE: Query = { sql: 'select 1', params: [], reads: true };

/** One replica, and whether it answers. */
class Replica {
  /** The next probe of one that is out, or the next look at one that is silent. */
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #pending = 0;
  #answers = 0;
  alive = true;

  constructor(readonly connection: ReplicaConnection) {}

  async read(query: Query): Promise<Result> {
    this.#pending++;
    this.#watch();
    try {
      return await this.connection.exec(query);
    } finally {
      this.#pending--;
      this.#answers++;
    }
  }

  /** Takes it out, and asks it now and then whether it is back: nobody else waits for it meanwhile. */
  lose(): void {
    if (!this.alive || this.#closed) return;
    this.alive = false;
    this.connection.abandon(); // who waits for it is answered elsewhere
    this.#probeIn(FIRST_PROBE_MS);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    if (!this.alive) this.connection.abandon(); // or a silent one would be waited for
    await this.connection.close();
  }

  /** A long read is no reason to leave it: only when it answers nothing at all, not even the simplest question. */
  #watch(): void {
    if (this.#timer || !this.alive || this.#closed) return;
    const answersBefore = this.#answers;
    this.#later(SILENCE_MS, async () => {
      const isSilent = this.#pending > 0 && this.#answers === answersBefore && !(await this.#answersProbe());
      if (isSilent) this.lose();
      else if (this.#pending > 0) this.#watch();
    });
  }

  #probeIn(waitMs: number): void {
    this.#stopTimer();
    this.#later(waitMs, async () => {
      this.alive = await this.#answersProbe();
      if (this.alive || this.#closed) return;
      this.connection.abandon();
      this.#probeIn(Math.min(waitMs * 2, LONGEST_PROBE_MS));
    });
  }

  async #answersProbe(): Promise<boolean> {
    let deadline: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      deadline = setTimeout(() => resolve(false), PROBE_DEADLINE_MS).unref();
    });
    const answer = Promise.resolve(this.connection.exec(PROBE)).then(
      () => true,
      () => false,
    );
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(deadline);
    }
  }

  #later(waitMs: number, work: () => Promise<void>): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void work(); // it never throws
    }, waitMs);
    this.#timer.unref(); // it keeps no process from ending
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

export class ReplicatedConnection implements Connection {
  readonly #replicas: readonly Replica[];
  #turn = 0;

  constructor(
    readonly primary: Connection,
    replicas: readonly ReplicaConnection[],
  ) {
    this.#replicas = replicas.map((connection) => new Replica(connection));
  }

  async exec(query: Query): Promise<Result> {
    if (!query.reads || query.fresh) return this.primary.exec(query);
    for (let tries = 0; tries < this.#replicas.length; tries++) {
      const answer = await this.#ask(this.#next(), query);
      if (answer) return answer;
    }
    return this.primary.exec(query);
  }

  /** One replica as long as it answers, then the primary, which no replica is ahead of. */
  steady(): Driver {
    let replica = this.#replicas.find(({ alive }) => alive) && this.#next();
    while (replica && !replica.alive) replica = this.#next();
    return {
      exec: async (query) => {
        const answer = query.fresh ? undefined : await this.#ask(replica, query);
        if (!answer) replica = undefined;
        return answer ?? this.primary.exec(query);
      },
      batch: (queries) => this.batch(queries),
      transaction: (work, isolation) => this.transaction(work, isolation),
    };
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

  #next(): Replica | undefined {
    return this.#replicas[this.#turn++ % this.#replicas.length];
  }

  /** Undefined where it cannot answer: it is gone, or it cancelled the read, which stood in the way of what it replays. */
  async #ask(replica: Replica | undefined, query: Query): Promise<Result | undefined> {
    if (!replica?.alive) return undefined;
    try {
      return await replica.read(query);
    } catch (error) {
      if (error instanceof ConnectionError) replica.lose();
      else if (!(error instanceof SerializationError)) throw error;
      return undefined;
    }
  }
}
