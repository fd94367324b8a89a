import { Fifo } from '../driver/fifo.ts';
import { BusyError } from '../errors.ts';

/** Milliseconds of work without a break. */
const LIMIT_MS = 5;

/** Pieces of work between two looks at the clock. */
const GROUP = 16;

/**
 * Lets the event loop run between statements. SQLite returns synchronously, so that callers who wait for one statement after the
 * other never leave the microtask queue: timers, sockets and signals would stand still for as long as they are busy. A lone
 * statement waits for nothing.
 */
export class Breath {
  #workingSince: number | undefined;
  readonly #later = new Fifo<() => void>();
  #isWorking = false;

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
  later<T>(work: () => T | Promise<T>, maxQueued = this.maxQueued): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#later.size >= maxQueued) return reject(new BusyError('queue_full'));
      const run = () => {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      };
      this.#later.push(run);
      if (this.#isWorking) return;
      this.#isWorking = true;
      setImmediate(() => this.#work());
    });
  }

  async #work(): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    do {
      for (let i = 0; i < GROUP && this.#later.size; i++) {
        this.#later.shift()?.();
      }
      await new Promise<void>((resolve) => process.nextTick(resolve)); // what callers make of the results counts, too
    } while (this.#later.size && performance.now() < end);
    if (this.#later.size) setImmediate(() => this.#work());
    else this.#isWorking = false;
  }
}
