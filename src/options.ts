import { z } from 'zod';
import { JSON_LIMITS } from './codecs/json.ts';
import { KeyRing, type Keys } from './codecs/key-ring.ts';
import { ConfigurationError, ValidationError } from './errors.ts';
import { isStandardSchema } from './model/check-schema.ts';
import { parse } from './model/parse.ts';
import type { JsonSchemas, NoSchemas, StandardSchema } from './model/schema.ts';
import type { StoreSettings } from './repositories/context.ts';

/** What a store does about migrations when it is opened. */
export type Migrations = 'auto' | 'verify' | 'off';

/** The options of every store. `J` are the schemas of `json`. */
export interface StoreOptions<J = NoSchemas> {
  /**
   * `auto` (the default) applies what is pending; `verify` only throws a MigrationError when something is, and needs no rights
   * to change the schema; `off` does not look.
   */
  readonly migrations?: Migrations | undefined;
  /**
   * `power-loss` (the default): an acknowledged write survives a power failure. `process`: it survives the end of this
   * process only; on PostgreSQL, commits do not wait for the disk (`synchronous_commit = off`).
   */
  readonly durability?: 'power-loss' | 'process' | undefined;
  /**
   * An action that is approved takes two people: who proposed it can neither approve it, automatically either, nor decide a request for its
   * approval; who requested an approval cannot decide it; and the levels of an action are decided by different people. Off by default.
   */
  readonly fourEyes?: boolean | undefined;
  /**
   * The caller's own types of JSON columns, as schemas of zod or any other validator that follows Standard Schema:
   * `{ incidents: { alertData: MyAlert } }`. What is written must fit, what is read is what the schema makes of it, and the
   * repositories have these types.
   */
  readonly json?: J | undefined;
  /** The largest JSON value that is taken: 16 MiB and 128 levels by default. */
  readonly jsonLimits?: { readonly maxBytes?: number | undefined; readonly maxDepth?: number | undefined } | undefined;
  /**
   * The keys of secrets, by their ids; `primary` names the one that encrypts: `{ primary: 'k2', k1: …, k2: … }`. A key is
   * base64 of 32 bytes, as `generateKey()` makes them. TW_ENCRYPTION_KEY is one more, with the id `default`, and the primary
   * one where no keys are given.
   */
  readonly keys?: Keys | undefined;
  /**
   * Whether the data of sessions is encrypted: true where there are keys. False where other programs read the sessions, such
   * as those that use tower-sessions. Sessions that are not encrypted are read either way, unless it is `'required'`: then one
   * that somebody else wrote into the table is refused.
   */
  readonly encryptSessions?: boolean | 'required' | undefined;
  /** The clock of created_at, updated_at and the audit trail, instead of the database's (PostgreSQL) or this process's (SQLite): for tests. */
  readonly now?: (() => Date) | undefined;
  /**
   * Milliseconds that a call waits for its turn, before BusyError: 30,000 by default. On PostgreSQL until its statement is the next on a connection,
   * the making of the connection included; on SQLite until the writer is free.
   */
  readonly acquireTimeoutMs?: number | undefined;
  /** Calls that may wait for their turn; one more is a BusyError: 10,000 by default. */
  readonly maxQueued?: number | undefined;
  /** Milliseconds from a call of `transaction` to its COMMIT, unless the call gives its own `timeoutMs`: 60,000 by default. */
  readonly transactionTimeoutMs?: number | undefined;
  /** Milliseconds that the source of `createMany` may take for its next row: 10,000 by default. */
  readonly sourceTimeoutMs?: number | undefined;
}

/** The options of a SQLite store. */
export interface SqliteOptions<J = NoSchemas> extends StoreOptions<J> {
  /** Milliseconds to wait for a lock that another process holds, before BusyError: 5,000 by default. */
  readonly busyTimeoutMs?: number | undefined;
}

/** The options of a PostgreSQL store. */
export interface PostgresOptions<J = NoSchemas> extends StoreOptions<J> {
  /**
   * URLs of streaming replicas, each with a pool of its own: reads go to them in turn, and may lag a little. Writes, transactions and what
   * access hangs on (API keys, sessions, users) go to the primary, and so does all of `store.primary`.
   */
  readonly replicas?: readonly string[] | undefined;
  /** Connections at most: 10 by default. One of them is never given to writes and transactions, where there are two or more. */
  readonly poolSize?: number | undefined;
  /**
   * Milliseconds for a connection to be made, per host, TLS and login included: by default what the URL (`connect_timeout`, seconds) or
   * PGCONNECT_TIMEOUT says, or 10,000.
   */
  readonly connectTimeoutMs?: number | undefined;
  /** Milliseconds that a statement may run: 30,000 by default. It is cancelled on the server shortly before. */
  readonly statementTimeoutMs?: number | undefined;
  /**
   * Milliseconds of silence after which a server is given up: when calls wait, and nothing has come from it, not even for a new connection. 10,000
   * by default. A long statement alone is no reason.
   */
  readonly silenceTimeoutMs?: number | undefined;
  /** Milliseconds after which an idle connection is closed: never by default. */
  readonly idleTimeoutMs?: number | undefined;
  /** Milliseconds after which a connection is replaced by a new one, once it is free: 30 to 60 minutes by default. */
  readonly maxLifetimeMs?: number | undefined;
  /** Milliseconds that one migration may take: 1,800,000 (30 minutes) by default. */
  readonly migrationTimeoutMs?: number | undefined;
  /** Use named prepared statements: true by default. False for PgBouncer in transaction mode. */
  readonly prepare?: boolean | undefined;
  /** TLS: by default as the URL's `sslmode` says, or PGSSLMODE, or not at all. */
  readonly ssl?: boolean | 'require' | 'prefer' | 'verify-ca' | 'verify-full' | undefined;
  /** What the server lists this client as: `triage-warden` by default. */
  readonly applicationName?: string | undefined;
}

const schemas = <const Columns extends readonly string[]>(...columns: Columns) =>
  z
    .strictObject(
      Object.fromEntries(
        columns.map((column) => [
          column,
          z.custom<StandardSchema>(isStandardSchema, 'is not a schema that follows Standard Schema').optional(),
        ]),
      ),
    )
    .optional();

const jsonSchemas = z.strictObject({
  incidents: schemas('source', 'alertData', 'enrichments', 'analysis', 'proposedActions', 'metadata'),
  actions: schemas('target', 'parameters', 'result'),
  playbooks: schemas('stages'),
  connectors: schemas('config'),
  notificationChannels: schemas('config'),
}) satisfies z.ZodType<JsonSchemas>;

/** What a timer can wait for. */
const MOST_MS = 2_147_483_647;
const milliseconds = () => z.number().int().min(1).max(MOST_MS);

const common = {
  migrations: z.enum(['auto', 'verify', 'off']).default('auto'),
  durability: z.enum(['power-loss', 'process']).default('power-loss'),
  fourEyes: z.boolean().default(false),
  json: jsonSchemas.optional(),
  keys: z.record(z.string(), z.string().optional()).optional(),
  encryptSessions: z.union([z.boolean(), z.literal('required')]).optional(),
  jsonLimits: z
    .strictObject({ maxBytes: z.number().int().min(1).optional(), maxDepth: z.number().int().min(1).optional() })
    .optional(),
  now: z.custom<() => Date>((value) => typeof value === 'function', 'is not a function').optional(),
  acquireTimeoutMs: milliseconds().default(30_000),
  maxQueued: z.number().int().min(1).max(1_000_000).default(10_000),
  transactionTimeoutMs: milliseconds().default(60_000),
  sourceTimeoutMs: milliseconds().default(10_000),
};

/** Of `store.close` and `store.transaction`. */
export const limitMs = milliseconds();

export const sqliteOptions = z.strictObject({ ...common, busyTimeoutMs: z.number().int().min(0).default(5000) });

export const postgresOptions = z.strictObject({
  ...common,
  replicas: z.array(z.string().min(1)).max(50).default([]),
  poolSize: z.number().int().min(1).max(10_000).default(10),
  connectTimeoutMs: milliseconds().optional(),
  statementTimeoutMs: milliseconds().default(30_000),
  silenceTimeoutMs: milliseconds().default(10_000),
  idleTimeoutMs: milliseconds().optional(),
  maxLifetimeMs: milliseconds().optional(),
  migrationTimeoutMs: milliseconds().default(1_800_000),
  prepare: z.boolean().default(true),
  ssl: z.union([z.boolean(), z.enum(['require', 'prefer', 'verify-ca', 'verify-full'])]).optional(),
  applicationName: z.string().min(1).max(63).default('triage-warden'),
});

/** @throws ConfigurationError that names every option that cannot be used. */
export function parseOptions<S extends z.ZodType>(schema: S, options: unknown): z.output<S> {
  try {
    return parse(schema, options);
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    throw new ConfigurationError(
      `Invalid options: ${error.issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ')}`,
    );
  }
}

/**
 * The part of the options that repositories need.
 *
 * @throws ConfigurationError for keys that cannot be used.
 */
export function settingsOf({
  json,
  jsonLimits,
  keys: given,
  encryptSessions,
  fourEyes,
  sourceTimeoutMs,
  transactionTimeoutMs,
  now,
}: z.output<z.ZodObject<typeof common>>): StoreSettings {
  const keys = KeyRing.of(given as Keys | undefined, process.env.TW_ENCRYPTION_KEY);
  if (encryptSessions && keys.primary === undefined)
    throw new ConfigurationError('encryptSessions needs keys: give `keys`, or set TW_ENCRYPTION_KEY');
  return {
    json: {
      maxBytes: jsonLimits?.maxBytes ?? JSON_LIMITS.maxBytes,
      maxDepth: jsonLimits?.maxDepth ?? JSON_LIMITS.maxDepth,
    },
    schemas: json ?? {},
    keys,
    sessionEncryption:
      encryptSessions === 'required' ? 'required' : (encryptSessions ?? keys.primary !== undefined) ? 'on' : 'off',
    fourEyes,
    sourceTimeoutMs,
    transactionTimeoutMs,
    clock: now ? 'given' : 'database',
    now: now ?? (() => new Date()),
  };
}
