import { Fifo } from '../driver/fifo.ts';
import { BusyError } from '../errors.ts';

/** Milliseconds of work without a break. */
const LIMIT_MS = 5;

interface Later {
  readonly run: () => void;
}

/**
 * Lets the event loop run between statements. SQLite returns synchronously, so that callers who wait for one statement after the
 * other never leave the microtask queue: timers, sockets and signals would stand still for as long as they are busy. A lone
 * statement waits for nothing.
 */
export class Breath {
  #workingSince: number | undefined;
  readonly #later = new Fifo<Later>();

  constructor(private readonly maxQueued: number) {}

  /** Whether the loop has had no turn for too long. To be checked before every piece of work. */
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

  /** Settles when the loop has had its turn. */
  take(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Runs work when the loop has had its turn, behind what came before: as much in one turn as is good for the loop. */
  later<T>(work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#later.size >= this.maxQueued) return reject(new BusyError('queue_full'));
      const run = () => {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      };
      this.#later.push({ run });
      if (this.#later.size === 1) setImmediate(() => this.#work());
    });
  }

  #work(): void {
    const end = performance.now() + LIMIT_MS;
    do {
      this.#later.peek()?.run();
      this.#later.shift();
    } while (this.#later.size && performance.now() < end);
    if (this.#later.size) setImmediate(() => this.#work());
  }
}
