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
  /** It takes long: others are not sent behind it, on its connection. */
  readonly alone?: boolean;
  /** It only reads: SQLite answers it on its reading connection, beside a writer. */
  readonly reads: boolean;
}

/** Rows as arrays of column values, in the order of the SELECT or RETURNING list, and how many rows were changed or read. */
export interface Result {
  /** None where the query has `receive`. */
  readonly rows: readonly (readonly unknown[])[];
  readonly count: number;
}

export type Isolation = 'read committed' | 'repeatable read' | 'serializable';

/**
 * A database, or one open transaction on it: the same shape at every nesting level. All that reaches a database goes
 * through these three methods; all that they throw is a StoreError.
 */
export interface Driver {
  /** Answers at once, without a promise, where it can: SQLite's reads. */
  exec(query: Query): Result | Promise<Result>;

  /** Several statements, in order, all or none. Answers the last one's result. */
  batch(queries: readonly Query[]): Promise<Result>;

  /** Runs `work` in a transaction; inside one already, in a savepoint. A throw rolls back and is thrown on. */
  transaction<T>(work: (inner: Driver) => Promise<T>, isolation?: Isolation): Promise<T>;

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
  /** Waits for what is under way, then gives every resource back. Called once. */
  close(): Promise<void>;
}
