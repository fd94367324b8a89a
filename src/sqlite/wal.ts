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
  #copiedAt = 0;
  #copies = 0;
  #canCopy = true;
  #isLarge = false;
  #pages = CHECKPOINT_PAGES;

  /** @param copy copies the log into the file, off the event loop, and settles when it has: with false where it cannot. */
  constructor(
    private readonly writer: WalWriter,
    private readonly file: string,
    private readonly copy: () => Promise<boolean>,
  ) {}

  /** To be called before each commit, which would copy a log that is large; `now` where the commit itself may be large. */
  beforeCommit(now = false): void {
    if (this.#canCopy && (now || performance.now() - this.#lookedAt >= LOOK_MS)) this.#look();
  }

  /** To be called after each commit. Never fails: what was committed is committed. */
  afterCommit(): void {
    if (!this.#canCopy || this.#copies) return;
    if (performance.now() - this.#lookedAt >= LOOK_MS) this.#look();
    if (this.#isLarge && performance.now() - this.#copiedAt >= this.#pauseMs) void this.during(() => this.#copyNow());
  }

  #look(): void {
    this.#lookedAt = performance.now();
    this.#isLarge = sizeOf(`${this.file}-wal`) > WAL_LIMIT_BYTES;
    if (!this.#isLarge) this.#pauseMs = LOOK_MS;
    this.#setCheckpoints();
  }

  async #copyNow(): Promise<void> {
    const before = sizeOf(`${this.file}-wal`);
    this.#canCopy = await this.copy().catch(() => true); // closed meanwhile
    if (!this.#canCopy) this.#isLarge = false; // then commits do it, as SQLite does by itself
    this.#copiedAt = performance.now();
    // a reader is in the way as long as it does not get smaller
    this.#pauseMs = sizeOf(`${this.file}-wal`) < before ? LOOK_MS : Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    if (this.#canCopy) this.#look();
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
  try {
    return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return 0; // the folder may not be read any more
  }
}
