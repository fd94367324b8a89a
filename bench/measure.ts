/** One way of doing a workload's work once; `index` counts its calls. */
export type Operation = (index: number) => unknown;

/** Work that both sides do. */
export interface Workload {
  readonly name: string;
  /** The highest ratio of our time to the raw driver's. */
  readonly aim: number;
  /** Operations of each side in a round. */
  readonly operations: number;
  /** Rounds at most, where one takes long. */
  readonly maxRounds?: number;
  readonly raw: Operation;
  readonly ours: Operation;
  /** Makes sure that both sides do the same: throws when their results differ. */
  readonly verify: () => Promise<void>;
}

/** Milliseconds of one operation: the median of the rounds, and the quartiles around it. */
export interface Timing {
  readonly median: number;
  readonly quartiles: readonly [number, number];
}

export interface Measurement {
  readonly name: string;
  readonly aim: number;
  /** Operations of each side that were timed. */
  readonly operations: number;
  readonly raw: Timing;
  readonly ours: Timing;
  readonly ratio: number;
}

const WARM_UP_ROUNDS = 3;

/** Times both sides in turns, each first in every other round: what disturbs the machine disturbs both alike. */
export async function measure(workload: Workload, rounds: number): Promise<Measurement> {
  const { name, aim, operations, maxRounds = rounds, verify } = workload;
  const timed = Math.min(rounds, maxRounds);
  const raw = new Side(workload.raw, operations);
  const ours = new Side(workload.ours, operations);
  await verify();
  for (let round = 0; round < Math.min(WARM_UP_ROUNDS, timed); round++) await inTurn(raw, ours, round);
  raw.forget();
  ours.forget();
  for (let round = 0; round < timed; round++) await inTurn(raw, ours, round);
  const [rawTiming, ourTiming] = [raw.timing(), ours.timing()];
  return {
    name,
    aim,
    operations: operations * timed,
    raw: rawTiming,
    ours: ourTiming,
    ratio: ourTiming.median / rawTiming.median,
  };
}

async function inTurn(raw: Side, ours: Side, round: number): Promise<void> {
  const [first, second] = round % 2 ? [ours, raw] : [raw, ours];
  await first.round();
  await second.round();
}

class Side {
  #calls = 0;
  #times: number[] = [];

  constructor(
    private readonly operation: Operation,
    private readonly operations: number,
  ) {}

  async round(): Promise<void> {
    const start = performance.now();
    for (let i = 0; i < this.operations; i++) {
      const result = this.operation(this.#calls++);
      // a synchronous driver's caller waits for no promise
      if (result instanceof Promise) await result;
    }
    this.#times.push((performance.now() - start) / this.operations);
  }

  forget(): void {
    this.#times = [];
  }

  timing(): Timing {
    const sorted = this.#times.toSorted((a, b) => a - b);
    return { median: quantile(sorted, 0.5), quartiles: [quantile(sorted, 0.25), quantile(sorted, 0.75)] };
  }
}

function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return low + (high - low) * (at - Math.floor(at));
}
