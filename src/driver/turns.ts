import { setTimeout } from 'node:timers';
import { BusyError } from '../errors.ts';
import { Mutex } from './mutex.ts';

/** A call that waits for its turn. */
export interface Waiter {
  /** `performance.now()` by which it must have it. */
  readonly acquireBy: number;
  readonly expire: (error: unknown) => void;
}

/**
 * Turns at what only one can have, first come, first served: each is waited for up to a time, and no more than `maxQueued` calls wait. One timer
 * looks after all of them, and keeps no process alive.
 */
export class Turns {
  readonly #mutex = new Mutex();
  readonly #waiting = new Set<Waiter>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly acquireTimeoutMs: number,
    private readonly maxQueued: number,
  ) {}

  /** Runs `work` in its turn. Rejects with a BusyError when that has not come by `deadline`, or within the limit; `work` is then not run. */
  run<T>(work: () => T | Promise<T>, deadline = Number.POSITIVE_INFINITY): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiter = this.wait(reject, deadline);
      if (!waiter) return;
      const turn = () => {
        if (!this.begin(waiter)) return;
        const result = work();
        // within the turn: what comes next is not acknowledged before it
        if (result instanceof Promise) return result.then(resolve, reject);
        resolve(result);
      };
      this.#mutex.run(turn).catch(reject);
    });
  }

  /** The same without a limit of its own, for what looks after several waiters. */
  runAll(work: () => void | Promise<void>): Promise<void> {
    return this.#mutex.run(work);
  }

  /** Lets a call wait; undefined where too many do, of which it hears. */
  wait(expire: Waiter['expire'], deadline = Number.POSITIVE_INFINITY): Waiter | undefined {
    if (this.#waiting.size >= this.maxQueued) return void expire(new BusyError('queue_full'));
    const waiter = { acquireBy: Math.min(performance.now() + this.acquireTimeoutMs, deadline), expire };
    this.#waiting.add(waiter);
    this.#timer ??= setTimeout(() => this.#tick(), this.#tickMs).unref();
    return waiter;
  }

  /** Its turn has come: false where it waits no more. */
  begin(waiter: Waiter): boolean {
    return this.#waiting.delete(waiter);
  }

  /** Ends all that wait. */
  expireAll(error: () => unknown): void {
    for (const { expire } of this.#waiting) expire(error());
    this.#waiting.clear();
  }

  get #tickMs(): number {
    return Math.max(5, Math.min(100, this.acquireTimeoutMs / 20));
  }

  #tick(): void {
    const now = performance.now();
    for (const waiter of this.#waiting) {
      if (waiter.acquireBy > now) continue;
      this.#waiting.delete(waiter);
      waiter.expire(new BusyError('acquire_timeout'));
    }
    this.#timer = this.#waiting.size ? setTimeout(() => this.#tick(), this.#tickMs).unref() : undefined;
  }
}
