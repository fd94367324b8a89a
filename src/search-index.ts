import { z } from 'zod';
import { deadlineIn } from './driver/deadline.ts';
import type { Driver } from './driver/port.ts';
import type { SearchIndexStatus, SearchIndexTarget } from './driver/search-index.ts';
import { parse } from './model/parse.ts';
import { limitMs } from './options.ts';

/** The options of `searchIndex.enable`. */
export interface SearchIndexOptions {
  /** Incidents that are indexed at once, for which other writers wait (SQLite): 50 by default, 10,000 at most. */
  readonly batchSize?: number | undefined;
  /** Is told how far it is. */
  readonly onProgress?: ((status: SearchIndexStatus) => void) | undefined;
  /** Milliseconds for all of it: 3,600,000 (an hour) by default. What was done by then is kept on SQLite, where a next call goes on. */
  readonly timeoutMs?: number | undefined;
}

const enableOptions = z.strictObject({
  batchSize: z.number().int().min(1).max(10_000).default(50),
  onProgress: z.custom<(status: SearchIndexStatus) => void>((value) => typeof value === 'function').optional(),
  timeoutMs: limitMs.default(3_600_000),
});

/**
 * The optional index of `search`: trigrams of alert data, tickets and tags; on SQLite also what finds tags, of which PostgreSQL
 * always has an index. A list answers the same with it and without it, faster with it. It costs space, and a part of the time of every insert.
 */
export class SearchIndex {
  /** @internal */
  constructor(
    private readonly target: SearchIndexTarget,
    private readonly driver: Driver,
    /** Refuses when the store is closed, or in one of its transactions. */
    private readonly check: () => void,
    /** What was known of the index is not true any more. */
    private readonly forget: () => void,
  ) {}

  /**
   * Makes the index; or goes on, where that was interrupted. Incidents are read and written meanwhile: a batch at a time on SQLite,
   * CONCURRENTLY on PostgreSQL, which needs the extension pg_trgm, or the right to create it,
   * and takes one connection of the pool meanwhile.
   *
   * @throws ValidationError; DatabaseError when the extension cannot be had; TimeoutError.
   */
  async enable(options: SearchIndexOptions = {}): Promise<SearchIndexStatus> {
    this.check();
    const { batchSize, onProgress, timeoutMs } = parse(enableOptions, options);
    const deadline = deadlineIn(timeoutMs);
    try {
      await this.target.enable(this.driver, { batchSize, deadline, progress: onProgress ?? (() => {}) });
    } finally {
      this.forget();
    }
    return this.target.status(this.driver);
  }

  /** Removes the index. Searches go on without it. */
  async disable(): Promise<void> {
    this.check();
    await this.target.disable(this.driver);
    this.forget();
  }

  /** Tells whether it is there, how far its making is, and how large it is. */
  async status(): Promise<SearchIndexStatus> {
    this.check();
    return this.target.status(this.driver);
  }
}
