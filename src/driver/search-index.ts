import type { SQL } from 'drizzle-orm';
import type { Tables } from '../repositories/tables.ts';
import type { ListByCreation } from './dialect.ts';
import type { Driver } from './port.ts';

/** Whether the trigram index of incidents is there, and how far its making is. */
export interface SearchIndexStatus {
  readonly state: 'absent' | 'building' | 'ready';
  /** Incidents that it holds, while it is built; null when it is not known. */
  readonly indexed: number | null;
  /** Incidents that it will hold, while it is built; null when it is not known. */
  readonly total: number | null;
  /** Its size on disk; null when it is not known. */
  readonly bytes: number | null;
}

/** How the index is made. */
export interface Building {
  /** Incidents of one step, for which other writers wait (SQLite). */
  readonly batchSize: number;
  /** Is told how far it is, after every step. */
  readonly progress: (status: SearchIndexStatus) => void;
  /** `performance.now()` by which it must be ready. */
  readonly deadline: number;
}

/** The incidents that have a tag, in the order of their creation. */
export interface TagIndex {
  /** How many incidents have this tag: exact where they are few, else Infinity. */
  count(driver: Driver, tag: string): Promise<number>;
  /** The ids of all incidents that have one of these tags, which are bound by these names. */
  ids(names: readonly string[]): SQL;
  /** The ids of the first incidents of a list that have one of these tags. */
  first(names: readonly string[], list: ListByCreation): SQL;
}

/** A trigram index over the alert data, tickets and tags of incidents, as a database has it. */
export interface SearchIndexTarget {
  status(driver: Driver): Promise<SearchIndexStatus>;
  /** Makes it, or goes on making it. Other writers are not held up for longer than a step. */
  enable(driver: Driver, building: Building): Promise<void>;
  disable(driver: Driver): Promise<void>;
  /** Whether searches can use it now. */
  isReady(driver: Driver): Promise<boolean>;
  /** Milliseconds for which the answer may be kept; 0 where an index that has gone would fail a search. */
  readonly keepMs: number;
  /**
   * The incidents that may hold the text that is bound as `name`: at least all that do. Undefined where the index does not help:
   * for less than three characters.
   */
  candidates(incidents: Tables['incidents'], name: string, text: string): SQL | undefined;
  /** What finds incidents by their tags; undefined where the table has an index that does. */
  readonly tags: TagIndex | undefined;
}
