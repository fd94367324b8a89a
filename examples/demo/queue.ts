/** What one stage hands to the next: at most `capacity` items wait, then `push` waits too, so that all stages move along. */
export class Queue<T> {
  readonly #items: T[] = [];
  readonly #takers: ((item: T | undefined) => void)[] = [];
  readonly #pushers: (() => void)[] = [];
  #closed = false;

  constructor(private readonly capacity = Number.POSITIVE_INFINITY) {}

  async push(item: T): Promise<void> {
    while (this.#items.length >= this.capacity) await new Promise<void>((resolve) => this.#pushers.push(resolve));
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  /** Nothing more will come: who waits for an item, or comes later, gets what is left and is done. */
  close(): void {
    this.#closed = true;
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (let item = await this.#take(); item !== undefined; item = await this.#take()) yield item;
  }

  async #take(): Promise<T | undefined> {
    const item = this.#items.shift();
    this.#pushers.shift()?.();
    if (item !== undefined || this.#closed) return item;
    return new Promise((resolve) => this.#takers.push(resolve));
  }
}
