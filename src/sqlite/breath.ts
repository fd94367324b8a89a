/** Milliseconds of work without a break. */
const LIMIT_MS = 5;

/**
 * Lets the event loop run between statements. SQLite answers at once, so that callers who wait for one statement after the
 * other never leave the microtask queue: timers, sockets and signals would stand still for as long as they are busy. A lone
 * statement waits for nothing.
 */
export class Breath {
  #workingSince: number | undefined;

  /** Whether the loop has had no turn for too long. To be asked before every piece of work. */
  isDue(): boolean {
    const now = performance.now();
    if (this.#workingSince === undefined) {
      this.#workingSince = now;
      setImmediate(() => {
        this.#workingSince = undefined;
      });
      return false;
    }
    return now - this.#workingSince > LIMIT_MS;
  }

  /** Ends when the loop has had its turn. */
  take(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}
