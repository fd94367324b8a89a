/** Measures the built library against the raw drivers doing the same work: see README.md. */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type Measurement, measure, type Workload } from './measure.ts';
import { asMarkdown, asText, type Report } from './report.ts';
import { seed } from './seed.ts';
import { openSubject, type SubjectName } from './subject.ts';
import { authenticationWorkloads } from './workloads/authentication.ts';
import { bulkWorkloads } from './workloads/bulk.ts';
import { listWorkloads } from './workloads/lists.ts';
import { pointReadWorkloads } from './workloads/point-reads.ts';
import type { Setting } from './workloads/setting.ts';
import { writeWorkloads } from './workloads/writes.ts';

/** Fewer do not fill the filtered page. */
const LEAST_ROWS = 5000;

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '100' },
    only: { type: 'string' },
    workload: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
  },
});

const names: readonly SubjectName[] = (['sqlite', 'postgres'] as const).filter(
  (name) => (options.only ?? name) === name,
);
if (!names.length) throw new Error('--only is sqlite or postgres');

// an exit, unlike a signal, takes the embedded server along
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const reports: Report[] = [];
for (const name of names) reports.push(await run(name, wholeNumber('rows', LEAST_ROWS), wholeNumber('rounds', 1)));
print();

async function run(name: SubjectName, rows: number, rounds: number): Promise<Report> {
  const subject = await openSubject[name]();
  try {
    progress(`${subject.title}: ${rows} incidents are made`);
    const setting: Setting = { ...subject, ids: await seed(subject.ours, rows), rows };
    await subject.settle();
    const measurements: Measurement[] = [];
    for (const workload of await workloads(setting)) {
      progress(`${subject.title}: ${workload.name}`);
      measurements.push(await measure(workload, rounds));
    }
    return { title: `${subject.title}, ${rows.toLocaleString('en')} incidents`, measurements };
  } finally {
    await subject.close();
  }
}

/** Reads first: what writes leave behind would be in their way. */
async function workloads(setting: Setting): Promise<readonly Workload[]> {
  const all = [
    ...pointReadWorkloads(setting),
    ...(await listWorkloads(setting)),
    ...(await authenticationWorkloads(setting)),
    ...writeWorkloads(setting),
    ...bulkWorkloads(setting),
  ];
  return all.filter(({ name }) => name.includes(options.workload));
}

function print(): void {
  const machine = { node: process.version, cpu: cpus()[0]?.model.trim(), cpus: cpus().length };
  if (options.json) console.log(JSON.stringify({ machine, reports }, null, 2));
  else if (options.markdown) console.log(reports.map(asMarkdown).join('\n\n'));
  else console.log(reports.map(asText).join('\n\n'));
}

function wholeNumber(name: 'rows' | 'rounds', least: number): number {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < least) throw new Error(`--${name} is a whole number, ${least} at least`);
  return value;
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
