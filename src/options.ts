import { z } from 'zod';
import { JSON_LIMITS } from './codecs/json.ts';
import { ConfigurationError, ValidationError } from './errors.ts';
import { parse } from './model/parse.ts';
import type { Settings } from './repositories/context.ts';

/** What a store does about migrations when it is opened. */
export type Migrations = 'auto' | 'verify' | 'off';

/** The options of every store. */
export interface StoreOptions {
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
  /** Who requested an approval cannot decide it. Off by default. */
  readonly fourEyes?: boolean | undefined;
  /** The largest JSON value that is taken: 16 MiB and 128 levels by default. */
  readonly json?: { readonly maxBytes?: number | undefined; readonly maxDepth?: number | undefined } | undefined;
  /** The clock of created_at, updated_at and the audit trail: for tests. */
  readonly now?: (() => Date) | undefined;
}

/** The options of a SQLite store. */
export interface SqliteOptions extends StoreOptions {
  /** Milliseconds to wait for a lock that another process holds, before BusyError: 5,000 by default. */
  readonly busyTimeoutMs?: number | undefined;
}

/** The options of a PostgreSQL store. */
export interface PostgresOptions extends StoreOptions {
  /** Connections at most: 10 by default. */
  readonly poolSize?: number | undefined;
  /** Seconds to wait for a connection: 30 by default. */
  readonly connectTimeoutSeconds?: number | undefined;
  /** Seconds after which an idle connection is closed: never by default. */
  readonly idleTimeoutSeconds?: number | undefined;
  /** Use named prepared statements: true by default. False for PgBouncer in transaction mode. */
  readonly prepare?: boolean | undefined;
  /** TLS: as the URL's `sslmode` says by default. */
  readonly ssl?: boolean | 'require' | 'prefer' | 'verify-full' | undefined;
  /** What the server lists this client as: `triage-warden` by default. */
  readonly applicationName?: string | undefined;
}

const common = {
  migrations: z.enum(['auto', 'verify', 'off']).default('auto'),
  durability: z.enum(['power-loss', 'process']).default('power-loss'),
  fourEyes: z.boolean().default(false),
  json: z
    .strictObject({ maxBytes: z.number().int().min(1).optional(), maxDepth: z.number().int().min(1).optional() })
    .optional(),
  now: z.custom<() => Date>((value) => typeof value === 'function', 'is not a function').optional(),
};

export const sqliteOptions = z.strictObject({ ...common, busyTimeoutMs: z.number().int().min(0).default(5000) });

export const postgresOptions = z.strictObject({
  ...common,
  poolSize: z.number().int().min(1).max(10_000).default(10),
  connectTimeoutSeconds: z.number().positive().max(2_147_483).default(30),
  idleTimeoutSeconds: z.number().positive().max(2_147_483).optional(),
  prepare: z.boolean().default(true),
  ssl: z.union([z.boolean(), z.enum(['require', 'prefer', 'verify-full'])]).optional(),
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

/** The part of the options that repositories need. */
export const settingsOf = ({
  json,
  fourEyes,
  now = () => new Date(),
}: z.output<z.ZodObject<typeof common>>): Settings => ({
  json: { maxBytes: json?.maxBytes ?? JSON_LIMITS.maxBytes, maxDepth: json?.maxDepth ?? JSON_LIMITS.maxDepth },
  fourEyes,
  now,
});
