import { pastIncident } from './alerts.ts';
import type { Store } from './library.ts';

const CHUNK_ROWS = 5000;

/** Ids of incidents that the workloads read and change, spread over the whole table. */
export async function seed(store: Store, rows: number): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let start = 0; start < rows; start += CHUNK_ROWS) {
    const length = Math.min(CHUNK_ROWS, rows - start);
    ids.push(...(await store.incidents.createMany(Array.from({ length }, (_, i) => pastIncident(start + i)))));
  }
  const step = Math.max(Math.floor(rows / SAMPLE), 1);
  return ids.filter((_, i) => i % step === 0);
}

const SAMPLE = 1000;
