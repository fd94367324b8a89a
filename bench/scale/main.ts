/** How the working set of a dashboard behaves as the table grows: see ../README.md. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Store } from '../library.ts';
import { openSubject, type SubjectName } from '../subject.ts';
import { chart, type Series } from './chart.ts';
import { interactions } from './interactions.ts';
import { grow } from './world.ts';

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000,100000' },
    only: { type: 'string' },
    'search-up-to': { type: 'string', default: '100000' },
    json: { type: 'string' },
    svg: { type: 'string' },
  },
});

const sizes = options.rows.split(',').map(Number);
if (!sizes.every((size) => Number.isInteger(size) && size >= 5000))
  throw new Error('--rows is a list of numbers, 5000 at least');
const names = (['sqlite', 'postgres'] as const).filter((name) => (options.only ?? name) === name);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const series: Series[] = [];
for (const name of names) series.push(...(await run(name)));
if (options.json) writeFileSync(options.json, `${JSON.stringify(series, null, 2)}\n`);
if (options.svg) writeFileSync(options.svg, chart(series));

/** One database that grows from size to size. */
async function run(name: SubjectName): Promise<readonly Series[]> {
  const subject = await openSubject[name]();
  const measured: Series[] = [];
  try {
    let rows = 0;
    for (const size of sizes.toSorted((a, b) => a - b)) {
      const started = performance.now();
      await subject.ours.searchIndex.disable(); // it would be in the way of what is inserted now
      await grow(subject, rows, size);
      rows = size;
      await subject.settle();
      const searchable = size <= Number(options['search-up-to']);
      if (searchable) await subject.ours.searchIndex.enable({ batchSize: 200 });
      console.error(`${subject.title}: ${size} incidents after ${((performance.now() - started) / 1000).toFixed(0)} s`);
      const medians: Record<string, number> = {};
      for (const { name: what, run: once, times } of await interactions(subject, size, searchable)) {
        medians[what] = await median(once, times);
        console.log(
          `${subject.title.padEnd(32)}${String(size).padStart(9)}  ${what.padEnd(44)}${medians[what]?.toFixed(3).padStart(10)} ms`,
        );
      }
      measured.push({ database: subject.title, rows: size, medians });
      console.log(`${subject.title.padEnd(32)}${String(size).padStart(9)}  ${await streamed(subject.ours)}`);
    }
  } finally {
    await subject.close();
  }
  return measured;
}

/** Every incident, whole, one after the other: how fast, and how much the heap grows meanwhile. */
async function streamed(store: Store): Promise<string> {
  const heap = () => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed / 2 ** 20;
  };
  const before = heap();
  let [rows, most] = [0, 0];
  const start = performance.now();
  for await (const _ of store.incidents.stream()) if (++rows % 50_000 === 0) most = Math.max(most, heap() - before);
  const seconds = (performance.now() - start) / 1000;
  const grown = Math.max(most, heap() - before).toFixed(1);
  return `streamed ${rows} whole incidents, ${Math.round(rows / seconds)} a second, the heap grew by ${grown} MiB${globalThis.gc ? '' : ' (with garbage: run node with --expose-gc)'}`;
}

async function median(once: (index: number) => Promise<unknown>, times: number): Promise<number> {
  for (let i = 0; i < 5; i++) await once(i);
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await once(i);
    took.push(performance.now() - start);
  }
  return took.toSorted((a, b) => a - b)[Math.floor(took.length / 2)] as number;
}
