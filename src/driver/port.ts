/** Stands for the instant at which a batch runs: SQLite's driver reads its clock once it holds the lock, and binds the same for all statements. */
export const INSTANT = Symbol('instant');

/** One SQL statement with its bound values, as the database takes them. */
export interface Query {
  readonly sql: string;
  readonly params: readonly unknown[];
  /** A read that must not lag behind what was written: it goes to the primary. */
  readonly fresh?: boolean;
  /** Runs it once for each of these lists of values, instead of `params`: what SQLite's bulk inserts are made of. */
  readonly each?: readonly (readonly unknown[])[];
  /**
   * Makes what takes the rows, one by one as they arrive, instead of `Result.rows`: PostgreSQL sends the next ones meanwhile. Made
   * again for each attempt. It must not throw.
   */
  readonly receive?: () => (row: readonly unknown[]) => void;
  /**
   * It reads one row, or a few, by a key: on PostgreSQL it may share a connection with others of its kind. Every other statement has a
   * connection for itself, since one that waits for a lock would hold up those that are sent behind it.
   */
  readonly byKey?: boolean;
  /** Milliseconds that it may run, instead of the limit of the store. Ignored by SQLite, which cannot interrupt a statement. */
  readonly timeoutMs?: number;
  /** Settles by then (`performance.now()`), whatever the limits of the store are. */
  readonly deadline?: number;
  /** It changes as many rows as the one before it in a batch, or all of them fail: a change and its audit rows, on SQLite. */
  readonly asMany?: boolean;
  /** It only reads: SQLite answers it on its reading connection, beside a writer. */
  readonly reads: boolean;
}

/** Rows as arrays of column values, in the order of the SELECT or RETURNING list, and how many rows were changed or read. */
export interface Result {
  /** None where the query has `receive`. */
  readonly rows: readonly (readonly unknown[])[];
  readonly count: number;
  /** What was bound for INSTANT. */
  readonly instant?: string;
}

export type Isolation = 'read committed' | 'repeatable read' | 'serializable';

export interface TransactionLimits {
  readonly isolation?: Isolation | undefined;
  /**
   * Milliseconds from the call to COMMIT, the wait for a connection included; then it is rolled back. The store's limit by default. Infinity where
   * each of its steps has a limit. Not for nested ones, which end with the outermost.
   */
  readonly timeoutMs?: number | undefined;
}

/**
 * A database, or one open transaction on it: the same shape at every nesting level. All that reaches a database goes
 * through these three methods; all that they throw is a StoreError.
 */
export interface Driver {
  /** Answers at once, without a promise, where it can: SQLite's reads. */
  exec(query: Query): Result | Promise<Result>;

  /** Several statements, in order, all or none. Answers the last one's result. */
  batch(queries: readonly Query[]): Promise<Result>;

  /**
   * Runs `work` in a transaction; inside one already, in a savepoint. A throw rolls back and is thrown on. It settles within its time limit also
   * when `work` never does; what `work` does later is refused.
   */
  transaction<T>(work: (inner: Driver) => Promise<T>, limits?: TransactionLimits): Promise<T>;

  /**
   * The same for a great many inserts, where there is a better place for them: nothing is read in it, nor nested. SQLite has a thread
   * for it.
   */
  bulkTransaction?<T>(work: (inner: Driver) => Promise<T>): Promise<T>;

  /**
   * Where reads that belong together go, when reads go to several places otherwise: each of them sees at least what the one
   * before saw.
   */
  steady?(): Driver;
}

/** A driver that owns its connections. */
export interface Connection extends Driver {
  /** Where all reads are of what was written last, when reads go elsewhere otherwise. */
  readonly primary?: Driver;
  /**
   * Refuses new calls, waits for those in flight and those that wait for a turn, fails what has not ended by then, and gives every resource back.
   * Called once. Never fails.
   */
  close(timeoutMs: number): Promise<void>;
}
