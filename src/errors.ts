/** One thing that is wrong with an input: where it is, and what is wrong. Never holds the value itself. */
export interface Issue {
  /** Dotted path from the argument, such as `alertData.items[3].score`; empty for the argument itself. */
  readonly path: string;
  readonly message: string;
}

/** Every `code` of a `StoreError`: stable, and the same on both databases. */
export type ErrorCode =
  | 'validation'
  | 'configuration'
  | 'driver_missing'
  | 'not_found'
  | 'conflict'
  | 'forbidden'
  | 'unique_violation'
  | 'foreign_key_violation'
  | 'check_violation'
  | 'not_null_violation'
  | 'immutable'
  | 'decode'
  | 'crypto'
  | 'busy'
  | 'connection'
  | 'serialization'
  | 'read_only'
  | 'disk_full'
  | 'timeout'
  | 'database'
  | 'migration'
  | 'transaction_scope'
  | 'transaction_aborted'
  | 'closed';

/**
 * The root of every error this library throws. Messages are constant texts plus identifiers (tables, columns, ids); no
 * bound value ever appears. Where a driver failed, its error is the `cause`, stripped of what could quote a value.
 */
export abstract class StoreError extends Error {
  abstract readonly code: ErrorCode;
  /** Whether the same call may succeed when it is made again, unchanged. */
  readonly retryable: boolean = false;

  override get name(): string {
    return this.constructor.name;
  }
}

/** Bad input, found before anything was written. `issues` says each place. */
export class ValidationError extends StoreError {
  readonly code = 'validation';
  constructor(readonly issues: readonly Issue[]) {
    super(`Invalid input: ${issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ')}`);
  }
}

/** An option, URL or environment variable that cannot be used. */
export class ConfigurationError extends StoreError {
  readonly code = 'configuration';
}

/** The package of the driver that the URL asks for is not installed. The message holds the install command. */
export class DriverMissingError extends StoreError {
  readonly code = 'driver_missing';
  constructor(readonly driver: string) {
    super(`The driver '${driver}' is not installed. Install it with: npm install ${driver}`);
  }
}

/** No row has this id. */
export class NotFoundError extends StoreError {
  readonly code = 'not_found';
  constructor(
    readonly table: string,
    readonly id: string,
  ) {
    super(`No row of ${table} has the id ${id}`);
  }
}

/** The row is not, or no longer, in the state that the change asked for. Nothing was written. */
export class ConflictError extends StoreError {
  readonly code = 'conflict';
  constructor(
    readonly table: string,
    readonly id: string,
    readonly reason: string,
  ) {
    super(`${table} ${id}: ${reason}`);
  }
}

/** The actor may not do this: with four-eyes on, who requested an approval cannot decide it. */
export class ForbiddenError extends StoreError {
  readonly code = 'forbidden';
  constructor(
    readonly table: string,
    readonly id: string,
    readonly reason: string,
  ) {
    super(`${table} ${id}: ${reason}`);
  }
}

/** Another row already has this key. `columns` are the key's columns, or its expressions. */
export class UniqueError extends StoreError {
  readonly code = 'unique_violation';
  constructor(
    readonly table: string | null,
    readonly columns: readonly string[],
    options?: ErrorOptions,
  ) {
    super(`Another row already has this value: ${table ?? 'table'} (${columns.join(', ')})`, options);
  }
}

/** A row refers to one that does not exist, or one that others refer to would go. SQLite does not say which. */
export class ForeignKeyError extends StoreError {
  readonly code = 'foreign_key_violation';
  constructor(options?: ErrorOptions) {
    super('A row refers to one that does not exist, or is still referred to', options);
  }
}

/** A CHECK of the database refused the row. */
export class CheckError extends StoreError {
  readonly code = 'check_violation';
  constructor(
    readonly constraint: string | null,
    options?: ErrorOptions,
  ) {
    super(`The database's check refused the row: ${constraint ?? 'unnamed'}`, options);
  }
}

/** A column that must have a value got none. */
export class NotNullError extends StoreError {
  readonly code = 'not_null_violation';
  constructor(
    readonly table: string | null,
    readonly column: string | null,
    options?: ErrorOptions,
  ) {
    super(`A value is required: ${table ?? 'table'}.${column ?? 'column'}`, options);
  }
}

/** The audit trail refuses to be changed, removed or emptied: from this library and from any other client. */
export class ImmutableError extends StoreError {
  readonly code = 'immutable';
  constructor(options?: ErrorOptions) {
    super('audit_logs is immutable: rows can be added, never changed or removed', options);
  }
}

/**
 * Stored data that cannot be read: bad JSON, an unknown enum value, a bad timestamp, or a value that does not fit the caller's own
 * schema. Never holds the content. Thrown by a change, it means that the change was made and its answer cannot be read.
 */
export class DecodeError extends StoreError {
  readonly code = 'decode';
  constructor(
    readonly table: string,
    readonly column: string,
    readonly id: string | null,
    readonly reason: string,
  ) {
    super(`Cannot read ${table}.${column}${id === null ? '' : ` of ${id}`}: ${reason}`);
  }
}

/** Why a secret could not be written or read. */
export type CryptoProblem = 'no_key' | 'unknown_key' | 'not_authentic' | 'malformed';

/**
 * A secret that cannot be written or read. `no_key`: the store was opened without keys. `unknown_key`: it was encrypted with a
 * key that the store does not have (`keyId`). `not_authentic`: a wrong key, or the ciphertext was changed or moved from
 * another place. `malformed`: it is no ciphertext at all. Never holds the secret.
 */
export class CryptoError extends StoreError {
  readonly code = 'crypto';
  constructor(
    readonly problem: CryptoProblem,
    /** Where the secret stands, such as `connectors.config of <id> at auth.token`; null when it is not stored yet. */
    readonly place: string | null,
    readonly keyId: string | null = null,
  ) {
    super(`${CRYPTO_PROBLEMS[problem]}${keyId === null ? '' : ` (key ${keyId})`}${place === null ? '' : `: ${place}`}`);
  }
}

const CRYPTO_PROBLEMS: Readonly<Record<CryptoProblem, string>> = {
  no_key: 'A secret needs a key: open the store with `keys`, or set TW_ENCRYPTION_KEY (generateKey() makes one)',
  unknown_key: 'A secret was encrypted with a key that this store does not have',
  not_authentic: 'A secret cannot be decrypted: the key is wrong, or the ciphertext was changed or moved',
  malformed: 'A secret cannot be decrypted: it is not one of the known forms',
};

/** The database was in use by others for longer than the configured limit. */
export class BusyError extends StoreError {
  readonly code = 'busy';
  override readonly retryable = true;
  constructor(options?: ErrorOptions) {
    super('The database is in use by another connection', options);
  }
}

/** The connection could not be made, was refused, or was lost. A write on its way may or may not have happened. */
export class ConnectionError extends StoreError {
  readonly code = 'connection';
  override readonly retryable = true;
  constructor(options?: ErrorOptions) {
    super('The connection to the database failed or was lost', options);
  }
}

/** Two transactions could not be ordered (serialization failure or dead-lock); this one was rolled back. */
export class SerializationError extends StoreError {
  readonly code = 'serialization';
  override readonly retryable = true;
  constructor(options?: ErrorOptions) {
    super('The transaction collided with another one and was rolled back', options);
  }
}

/** A write reached a database, or a connection, that only reads. */
export class ReadOnlyError extends StoreError {
  readonly code = 'read_only';
  constructor(options?: ErrorOptions) {
    super('The database is read-only', options);
  }
}

/** The database has no room left. */
export class DiskFullError extends StoreError {
  readonly code = 'disk_full';
  constructor(options?: ErrorOptions) {
    super('The disk of the database is full', options);
  }
}

/** The server cancelled the statement: its time limit passed, or someone cancelled it. */
export class TimeoutError extends StoreError {
  readonly code = 'timeout';
  constructor(options?: ErrorOptions) {
    super('The statement was cancelled by the database', options);
  }
}

/** Any other failure that the driver reported. `nativeCode` is the driver's own code. */
export class DatabaseError extends StoreError {
  readonly code = 'database';
  constructor(
    readonly nativeCode: string | null,
    options?: ErrorOptions,
  ) {
    super(`The database reported an error (${nativeCode ?? 'no code'})`, options);
  }
}

/** What is wrong between the migrations of the package and those that the database records. */
export type MigrationProblem =
  | 'pending'
  | 'edited'
  | 'missing'
  | 'out_of_order'
  | 'newer'
  | 'foreign_keys'
  | 'locked'
  | 'failed';

/** The migrations of the database and of the package do not fit, or one failed. `migrations` names those concerned. */
export class MigrationError extends StoreError {
  readonly code = 'migration';
  constructor(
    readonly problem: MigrationProblem,
    readonly migrations: readonly string[],
    explanation: string,
    options?: ErrorOptions,
  ) {
    super(migrations.length ? `${explanation}: ${migrations.join(', ')}` : explanation, options);
  }
}

/** A handle was used where it cannot work: the outer one inside its own transaction, or one whose transaction ended. */
export class TransactionScopeError extends StoreError {
  readonly code = 'transaction_scope';
}

/** A statement of this transaction failed before, so nothing more can be done in it. The failure is the `cause`. */
export class TransactionAbortedError extends StoreError {
  readonly code = 'transaction_aborted';
  constructor(options?: ErrorOptions) {
    super('An earlier statement of this transaction failed; it can only be rolled back', options);
  }
}

/** The store was closed. */
export class ClosedError extends StoreError {
  readonly code = 'closed';
  constructor() {
    super('The store is closed');
  }
}

/** Tells whether a value is an error of this library, also across a copy of the package loaded another way. */
export function isStoreError(error: unknown): error is StoreError {
  return error instanceof StoreError || (error instanceof Error && 'retryable' in error && 'code' in error);
}
