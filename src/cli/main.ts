#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import {
  ConfigurationError,
  DriverMissingError,
  generateKey,
  isStoreError,
  MigrationError,
  type SearchIndexStatus,
  type Store,
} from '../index.ts';
import { openStore } from '../open.ts';
import { maskText, maskUrl } from './mask-url.ts';

/** 0: done. 1: the database or the migrations refused. 2: the call cannot be understood. 3: `status` found some pending. */
const EXIT = { done: 0, refused: 1, usage: 2, pending: 3 } as const;

interface Options {
  readonly databaseUrl?: string;
  readonly json?: boolean;
}

const program = new Command('tw-db')
  .description('Looks after the database of Triage Warden.')
  .showHelpAfterError()
  // an option that is mistyped, with its value, stands in commander's messages
  .configureOutput({ outputError: (text, write) => write(maskText(text)) })
  .exitOverride()
  .addHelpText('after', '\nExit codes: 0 done, 1 refused by the database, 2 bad call, 3 migrations pending (status).');

const command = (name: string, description: string) => subcommand(program, name, description);

const subcommand = (parent: Command, name: string, description: string) =>
  parent
    .command(name)
    .description(description)
    .option('--database-url <url>', 'sqlite:path or postgres://…; DATABASE_URL unless it is given')
    .option('--json', 'print one JSON object')
    .exitOverride();

command('migrate', 'Applies the pending migrations.').action((options: Options) =>
  run(options, { makes: true }, async (store, database) => {
    const applied = await store.migrate();
    print(options, { database, applied }, [
      applied.length ? `Applied to ${database}:` : `Nothing to apply: ${database} is up to date.`,
      ...applied.map((name) => `  ${name}`),
    ]);
    return EXIT.done;
  }),
);

command('status', 'Tells which migrations are applied and which are pending.').action((options: Options) =>
  run(options, { makes: false }, async (store, database) => {
    const { applied, pending } = await store.migrationStatus();
    print(options, { database, applied, pending }, [
      `${database}: ${applied.length} applied, ${pending.length} pending`,
      ...applied.map((name) => `  applied  ${name}`),
      ...pending.map((name) => `  pending  ${name}`),
    ]);
    return pending.length ? EXIT.pending : EXIT.done;
  }),
);

const searchIndex = program
  .command('search-index')
  .description('Looks after the optional trigram index of searches in incidents.')
  .exitOverride();

for (const [name, description] of [
  ['enable', 'Makes the index, or goes on making it, while others read and write.'],
  ['disable', 'Removes the index; searches go on without it.'],
  ['status', 'Tells whether the index is there, and how large it is.'],
] as const)
  subcommand(searchIndex, name, description).action((options: Options) =>
    run(options, { makes: false }, async (store, database) => {
      if (name === 'disable') await store.searchIndex.disable();
      const status =
        name === 'enable'
          ? await store.searchIndex.enable({ onProgress: (soFar) => progress(options, soFar) })
          : await store.searchIndex.status();
      const size = status.bytes === null ? '' : `, ${(status.bytes / 2 ** 20).toFixed(1)} MiB`;
      print(options, { database, ...status }, [`${database}: the search index is ${status.state}${size}`]);
      return EXIT.done;
    }),
  );

program
  .command('keys')
  .description('Makes keys for secrets and sessions.')
  .exitOverride()
  .command('generate')
  .description('Prints a new key, for TW_ENCRYPTION_KEY or `keys`: keep it, or what it encrypts is lost.')
  .option('--json', 'print one JSON object')
  .exitOverride()
  .action((options: Options) => {
    const key = generateKey();
    print(options, { key }, [key]);
  });

/** A line that is written over: only where someone watches. */
function progress({ json }: Options, { indexed, total }: SearchIndexStatus): void {
  if (json || !process.stderr.isTTY || indexed === null) return;
  process.stderr.write(`\r${indexed.toLocaleString('en')} of ${(total ?? indexed).toLocaleString('en')} incidents `);
}

async function run(
  options: Options,
  { makes }: { readonly makes: boolean },
  work: (store: Store, database: string) => Promise<number>,
): Promise<void> {
  const url = options.databaseUrl ?? process.env.DATABASE_URL;
  let store: Store | undefined;
  try {
    // a path with a mistake in it is no database without migrations
    store = await openStore(makes ? url : existing(url), { migrations: 'off' });
    process.exitCode = await work(store, maskUrl(url ?? ''));
  } catch (error) {
    if (!isStoreError(error)) throw error;
    report(options, error);
    const usage = error instanceof ConfigurationError || error instanceof DriverMissingError;
    process.exitCode = usage ? EXIT.usage : EXIT.refused;
  } finally {
    await store?.close();
  }
}

/** The URL of a database that must be there: SQLite makes a file otherwise. */
function existing(url: string | undefined): string | undefined {
  return url?.startsWith('sqlite:') && !url.includes('?') ? `${url}?mode=rw` : url;
}

function print(options: Options, object: object, lines: readonly string[]): void {
  console.log(options.json ? JSON.stringify(object) : lines.join('\n'));
}

function report(options: Options, error: Error & { readonly code: string }): void {
  const { code, message } = error;
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  if (options.json) {
    const problem = error instanceof MigrationError ? { problem: error.problem } : {};
    console.error(JSON.stringify({ error: { code, message, ...problem, ...(cause ? { cause } : {}) } }));
  } else console.error(`tw-db: ${message} [${code}]${cause ? `\n  ${cause}` : ''}`);
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
}
