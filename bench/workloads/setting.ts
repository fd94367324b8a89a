import type { Store } from '../library.ts';
import type { RawDriver } from '../raw-driver.ts';

/** What the workloads work on. */
export interface Setting {
  readonly ours: Store;
  readonly raw: RawDriver;
  /** Of incidents all over the table. */
  readonly ids: readonly string[];
  /** Incidents in the table at the start. */
  readonly rows: number;
}

/** The values one after the other, and again from the first. */
export const cycle =
  <T>(values: readonly T[]) =>
  (index: number): T =>
    values[index % values.length] as T; // the list is not empty
