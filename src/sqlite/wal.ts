import { statSync } from 'node:fs';

/** SQLite's own default: pages in the write-ahead log after which a commit copies them into the file. */
const CHECKPOINT_PAGES = 1000;
/** Bytes that the log may have: it is cut to that when it starts anew. Four times what commits let it grow to, where no reader stands in the way. */
export const WAL_LIMIT_BYTES = 16 * 2 ** 20;
/** Milliseconds between looks at its size. */
const LOOK_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

export interface WalWriter {
  pragma(source: string): unknown;
  readonly open: boolean;
}

/**
 * Keeps the write-ahead log small. A reader of another process that stays open keeps it from starting anew: it grows, and the first commit after that
 * reader would copy all of it into the file, on the event loop (870 MB took 773 ms). So a log that has grown is copied elsewhere, again and again
 * until it is small, and commits leave it alone meanwhile.
 */
export class WalWatch {
  #lookedAt = 0;
  #pauseMs = LOOK_MS;
  #copies = 0;
  #isLarge = false;
  #pages = CHECKPOINT_PAGES;

  /** @param copy copies the log into the file, off the event loop, and settles when it has; it may do nothing. */
  constructor(
    private readonly writer: WalWriter,
    private readonly file: string,
    private readonly copy: () => Promise<void>,
  ) {}

  /** To be called after each commit. */
  afterCommit(): void {
    const now = performance.now();
    if (now - this.#lookedAt < this.#pauseMs || this.#copies) return;
    this.#lookedAt = now;
    const isLarge = sizeOf(`${this.file}-wal`) > WAL_LIMIT_BYTES;
    this.#pauseMs = isLarge && this.#isLarge ? Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS) : LOOK_MS;
    this.#isLarge = isLarge;
    if (isLarge) void this.during(this.copy);
    this.#setCheckpoints();
  }

  /** Commits copy nothing while `work` does it. */
  async during(work: () => Promise<void>): Promise<void> {
    this.#copies++;
    this.#setCheckpoints();
    try {
      await work();
    } finally {
      this.#copies--;
      this.#setCheckpoints();
    }
  }

  #setCheckpoints(): void {
    const pages = this.#copies || this.#isLarge ? 0 : CHECKPOINT_PAGES;
    if (pages === this.#pages || !this.writer.open) return;
    this.#pages = pages;
    this.writer.pragma(`wal_autocheckpoint = ${pages}`);
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
