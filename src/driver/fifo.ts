/**
 * A queue: what came first leaves first, in constant time. A ring, whose places are emptied and used again: an array that is shifted leaves
 * its old places behind, full of what has left, until the next full collection of garbage.
 */
export class Fifo<T> {
  #places: (T | undefined)[] = new Array(16).fill(undefined);
  #first = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#size === this.#places.length) this.#grow();
    this.#places[this.#index(this.#size++)] = item;
  }

  /** The one that leaves next. */
  peek(): T | undefined {
    return this.#places[this.#first];
  }

  shift(): T | undefined {
    const item = this.#places[this.#first];
    if (this.#size === 0) return undefined;
    this.#places[this.#first] = undefined;
    this.#first = this.#index(1);
    this.#size--;
    return item;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.#size; i++) yield this.#places[this.#index(i)] as T; // these places are taken
  }

  /** Takes out all that `leaves` says, and returns it. */
  remove(leaves: (item: T) => boolean): readonly T[] {
    const gone: T[] = [];
    for (let left = this.#size; left > 0; left--) {
      const item = this.shift() as T; // there is one
      if (leaves(item)) gone.push(item);
      else this.push(item);
    }
    return gone;
  }

  /** The number of places is a power of two. */
  #index(offset: number): number {
    return (this.#first + offset) & (this.#places.length - 1);
  }

  #grow(): void {
    const taken = [...this];
    this.#places = [...taken, ...new Array<undefined>(taken.length).fill(undefined)];
    this.#first = 0;
  }
}
