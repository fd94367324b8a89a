/** First come, first served. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  /** Runs `work` when everything before it has ended; answers, or fails, as it does. */
  run<T>(work: () => T | Promise<T>): Promise<T> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => {});
    return turn;
  }

  /** Ends when everything that waits now has ended. Never fails. */
  idle(): Promise<unknown> {
    return this.#tail;
  }
}
