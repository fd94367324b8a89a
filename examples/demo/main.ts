import { basename, join } from 'node:path';
import { isStoreError, openStore, type Store } from '@triage-warden/db';
import { Argument, Command, CommanderError, InvalidArgumentError } from 'commander';
import { readAlerts, UsageError } from './alerts.ts';
import { AlertRefusedError } from './analysts.ts';
import { chooseDatabase } from './database.ts';
import { triage } from './pipeline.ts';
import { underBar } from './progress.ts';
import { prove } from './proof.ts';
import { conclude, summarise } from './summary.ts';
import { clip, number, paint, WIDTH } from './terminal.ts';

/** 0: everything is proved. 1: something differs, or the database refused. 2: the call cannot be understood. */
const EXIT = { proved: 0, refused: 1, usage: 2 } as const;

const SAMPLE = join(import.meta.dirname, 'alerts.ndjson');

interface Options {
  readonly databaseUrl?: string;
  readonly workers: number;
  readonly keep?: boolean;
}

async function main(file: string, { databaseUrl, workers, keep = false }: Options): Promise<number> {
  const alerts = await readAlerts(file);
  const database = chooseDatabase(databaseUrl, keep);
  await using store = await openStore(database.url, { fourEyes: true });
  await refuseForeignWork(store);
  const about = `${basename(file)} (${number(alerts.length)}) · ${workers} workers a stage · ${database.name}`;
  console.log(`\n${paint('bold', '  Triage Warden')}  ${clip(about, WIDTH - 17)}\n`);
  const { result: floor, seconds } = await underBar('Triage', alerts.length, (tell) =>
    triage(store, alerts, workers, ({ record: { finished, incidents, analysed } }) =>
      tell(finished, `${incidents.length} ingested, ${analysed} analysed`),
    ),
  );
  let read = 0;
  const { result: proof } = await underBar('Proof', alerts.length, (tell) => prove(floor, workers, () => tell(++read)));
  const stats = await store.incidents.stats({ tag: floor.tag });
  console.log(['', ...summarise(stats, floor.record, proof, seconds), ...conclude(proof, alerts.length)].join('\n'));
  return proof.problems.length ? EXIT.refused : EXIT.proved;
}

/** An executor takes whatever is approved: it must not be the real work of somebody else. */
async function refuseForeignWork(store: Store): Promise<void> {
  const [ready] = await store.actions.listReady({ limit: 1 });
  if (ready) throw new UsageError('The database holds approved actions that wait to be executed: choose another one');
}

function workerCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 100) return count;
  throw new InvalidArgumentError('It is a whole number from 1 to 100.');
}

const program = new Command('demo')
  .description('Takes alerts through triage and proves that nothing was lost or changed.')
  .addArgument(new Argument('[file]', 'alerts, one JSON text a line').default(SAMPLE, 'those that come with the demo'))
  .option('--database-url <url>', 'sqlite:path or postgres://…; a new SQLite file unless it is given')
  .option('--workers <count>', 'workers of each stage', workerCount, 8)
  .option('--keep', 'keep the new SQLite file')
  .exitOverride()
  .action(async (file: string, options: Options) => {
    process.exitCode = await main(file, options);
  });

// npm runs a script in the package's folder; the paths are meant from where the user is
if (process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);

process.stdout.once('error', () => process.exit()); // `| head` has read enough
process.once('SIGINT', () => process.exit(130)); // what has to be put in order is done at 'exit'

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.proved : EXIT.usage;
  else if (error instanceof UsageError || error instanceof AlertRefusedError || isStoreError(error)) {
    console.error(`demo: ${withCauses(error)}`);
    process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.refused;
  } else throw error;
}

function withCauses(error: Error): string {
  return error.cause instanceof Error ? `${error.message}\n  ${withCauses(error.cause)}` : error.message;
}
