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
  | 'trail'
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
 * What became of a failed call in the database. `not_sent`: the database never saw it. `rolled_back`: the database saw it, and nothing of it
 * stands. `unknown`: a write may or may not have happened.
 */
export type CallOutcome = 'not_sent' | 'rolled_back' | 'unknown';

/** What is known of a call that failed. */
export interface FailureOptions extends ErrorOptions {
  readonly outcome?: CallOutcome | undefined;
  /** The call only reads, so that it may be made again whatever became of it. */
  readonly reads?: boolean | undefined;
}

/** Whether nothing happens twice when the call is made again. */
const isRepeatable = (outcome: CallOutcome, reads = false) => reads || outcome !== 'unknown';

/**
 * The root of every error this library throws. Messages are constant texts plus identifiers (tables, columns, ids); no
 * bound value ever appears. Where a driver failed, its error is the `cause`, stripped of what could quote a value.
 */
abstract class BaseError extends Error {
  abstract readonly code: ErrorCode;
  /** Whether the same call may succeed when it is made again, unchanged. */
  readonly retryable: boolean = false;
  /** Written out in each class, and not a field: bundlers rename classes, and the stack is headed by it before fields are there. */
  abstract override get name(): string;
}

/** Bad input, found before anything was written. `issues` says each place. */
export class ValidationError extends BaseError {
  readonly code = 'validation';
  override get name() {
    return 'ValidationError' as const;
  }
  constructor(readonly issues: readonly Issue[]) {
    super(`Invalid input: ${issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ')}`);
  }
}

/** An option, URL or environment variable that cannot be used. */
export class ConfigurationError extends BaseError {
  readonly code = 'configuration';
  override get name() {
    return 'ConfigurationError' as const;
  }
}

/** The package of the driver that the URL asks for is not installed. The message holds the install command. */
export class DriverMissingError extends BaseError {
  readonly code = 'driver_missing';
  override get name() {
    return 'DriverMissingError' as const;
  }
  constructor(readonly driver: string) {
    super(`The driver '${driver}' is not installed. Install it with: npm install ${driver}`);
  }
}

/** No row has this id. */
export class NotFoundError extends BaseError {
  readonly code = 'not_found';
  override get name() {
    return 'NotFoundError' as const;
  }
  constructor(
    readonly table: string,
    readonly id: string,
  ) {
    super(`No row of ${table} has the id ${id}`);
  }
}

/** The row is not, or no longer, in the state that the change asked for. Nothing was written. */
export class ConflictError extends BaseError {
  readonly code = 'conflict';
  override get name() {
    return 'ConflictError' as const;
  }
  constructor(
    readonly table: string,
    readonly id: string,
    readonly reason: string,
  ) {
    super(`${table} ${id}: ${reason}`);
  }
}

/** The actor may not do this: with four-eyes on, an approved action takes two people. */
export class ForbiddenError extends BaseError {
  readonly code = 'forbidden';
  override get name() {
    return 'ForbiddenError' as const;
  }
  constructor(
    readonly table: string,
    readonly id: string,
    readonly reason: string,
  ) {
    super(`${table} ${id}: ${reason}`);
  }
}

/** Another row already has this key. `columns` are the key's columns, or its expressions. */
export class UniqueError extends BaseError {
  readonly code = 'unique_violation';
  override get name() {
    return 'UniqueError' as const;
  }
  constructor(
    readonly table: string | null,
    readonly columns: readonly string[],
    options?: ErrorOptions,
  ) {
    super(`Another row already has this value: ${table ?? 'table'} (${columns.join(', ')})`, options);
  }
}

/** A row refers to one that does not exist, or one that others refer to would go. SQLite does not say which. */
export class ForeignKeyError extends BaseError {
  readonly code = 'foreign_key_violation';
  override get name() {
    return 'ForeignKeyError' as const;
  }
  constructor(options?: ErrorOptions) {
    super('A row refers to one that does not exist, or is still referred to', options);
  }
}

/** A CHECK of the database refused the row. */
export class CheckError extends BaseError {
  readonly code = 'check_violation';
  override get name() {
    return 'CheckError' as const;
  }
  constructor(
    readonly constraint: string | null,
    options?: ErrorOptions,
  ) {
    super(`The database's check refused the row: ${constraint ?? 'unnamed'}`, options);
  }
}

/** A column that must have a value got none. */
export class NotNullError extends BaseError {
  readonly code = 'not_null_violation';
  override get name() {
    return 'NotNullError' as const;
  }
  constructor(
    readonly table: string | null,
    readonly column: string | null,
    options?: ErrorOptions,
  ) {
    super(`A value is required: ${table ?? 'table'}.${column ?? 'column'}`, options);
  }
}

/** The audit trail refuses to be changed, removed or emptied: from this library and from any other client. */
export class ImmutableError extends BaseError {
  readonly code = 'immutable';
  override get name() {
    return 'ImmutableError' as const;
  }
  constructor(options?: ErrorOptions) {
    super('audit_logs is immutable: rows can be added, never changed or removed', options);
  }
}

/**
 * A change and its audit entry were not both written: the database dropped one of them, as a trigger may. Nothing of the change stands.
 */
export class TrailError extends BaseError {
  readonly code = 'trail';
  override get name() {
    return 'TrailError' as const;
  }
  constructor(options?: ErrorOptions) {
    super('A change and its audit entry were not both written: a trigger of the database dropped one of them', options);
  }
}

/**
 * Stored data that cannot be read: bad JSON, an unknown enum value, a bad timestamp, or a value that does not fit the caller's own
 * schema. Never holds the content. Thrown by a change, it means that the change was made and its answer cannot be read.
 */
export class DecodeError extends BaseError {
  readonly code = 'decode';
  override get name() {
    return 'DecodeError' as const;
  }
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
export class CryptoError extends BaseError {
  readonly code = 'crypto';
  override get name() {
    return 'CryptoError' as const;
  }
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

/**
 * Why a call did not get its turn. `lock`: another connection held a lock for too long. `acquire_timeout`: no connection, or no turn to write,
 * was free within `acquireTimeoutMs`. `queue_full`: `maxQueued` calls were waiting already.
 */
export type BusyReason = 'lock' | 'acquire_timeout' | 'queue_full';

const BUSY: Readonly<Record<BusyReason, string>> = {
  lock: 'The database is in use by another connection',
  acquire_timeout: 'No connection became free within acquireTimeoutMs',
  queue_full: 'Too many calls are waiting for a connection (maxQueued)',
};

/** The call did not get its turn in time. Nothing of it was done: it may be made again. */
export class BusyError extends BaseError {
  readonly code = 'busy';
  override get name() {
    return 'BusyError' as const;
  }
  override readonly retryable = true;
  readonly outcome: CallOutcome;
  constructor(
    readonly reason: BusyReason,
    { outcome = reason === 'lock' ? 'rolled_back' : 'not_sent', ...options }: FailureOptions = {},
  ) {
    super(BUSY[reason], options);
    this.outcome = outcome;
  }
}

/**
 * Why there is no connection.
 *
 * When it was made: `refused` (nothing listens there), `unreachable` (no such host, or no route to it), `timeout` (nothing within
 * `connectTimeoutMs`), `starting` and `shutting_down` (the server says so), `too_many_connections`, `authentication` (password, role or
 * pg_hba.conf), `no_database`, `tls`, `wrong_role` (no host has the role that `target_session_attrs` asks for), `rejected` (the server
 * refused it for another reason), `file` (SQLite's file cannot be opened).
 *
 * Later: `lost` (closed by the server or the network), `silent` (nothing within `silenceTimeoutMs`, not even for a probe), `closed` (the store was
 * closed before the call had ended).
 */
export type ConnectionReason =
  | 'refused'
  | 'unreachable'
  | 'timeout'
  | 'starting'
  | 'shutting_down'
  | 'too_many_connections'
  | 'authentication'
  | 'no_database'
  | 'tls'
  | 'wrong_role'
  | 'rejected'
  | 'file'
  | 'lost'
  | 'silent'
  | 'closed';

const CONNECTION: Readonly<Record<ConnectionReason, string>> = {
  refused: 'The database server refused the connection: nothing listens at this host and port',
  unreachable: 'The database server cannot be reached: the host is unknown, or no network leads to it',
  timeout: 'The database server did not accept the connection within connectTimeoutMs',
  starting: 'The database server is starting',
  shutting_down: 'The database server is shutting down, or an administrator ended the connection',
  too_many_connections: 'The database server, or the role, has no connection left',
  authentication: 'The database server refused the user, the password or the host of this client',
  no_database: 'The database does not exist on this server',
  tls: 'The encrypted connection to the database server could not be made',
  wrong_role: 'No host of the URL has the role that target_session_attrs asks for',
  rejected: 'The database server refused the connection',
  file: 'The database file cannot be opened',
  lost: 'The connection to the database was lost',
  silent: 'The database server is silent: it sent nothing within silenceTimeoutMs, not even to a new connection',
  closed: 'The store was closed before the call had ended',
};

/** What will not be otherwise when the same call is made again. */
const PERMANENT: readonly ConnectionReason[] = ['authentication', 'no_database', 'tls', 'rejected', 'file', 'closed'];

/** There is no connection, or it was lost. `outcome` says what became of the call, and `retryable` whether it may be made again. */
export class ConnectionError extends BaseError {
  readonly code = 'connection';
  override get name() {
    return 'ConnectionError' as const;
  }
  override readonly retryable: boolean;
  readonly outcome: CallOutcome;
  constructor(
    readonly reason: ConnectionReason,
    { outcome = 'not_sent', reads, ...options }: FailureOptions = {},
  ) {
    super(CONNECTION[reason], options);
    this.outcome = outcome;
    this.retryable = !PERMANENT.includes(reason) && isRepeatable(outcome, reads);
  }
}

/** Two transactions could not be ordered (serialization failure or dead-lock); this one was rolled back. */
export class SerializationError extends BaseError {
  readonly code = 'serialization';
  override get name() {
    return 'SerializationError' as const;
  }
  override readonly retryable = true;
  constructor(options?: ErrorOptions) {
    super('The transaction collided with another one and was rolled back', options);
  }
}

/**
 * A write reached a database, or a connection, that only reads. `retryable` where the connection led to a standby and was closed for that: the
 * next one may lead to the primary.
 */
export class ReadOnlyError extends BaseError {
  readonly code = 'read_only';
  override get name() {
    return 'ReadOnlyError' as const;
  }
  override readonly retryable: boolean;
  constructor({ reconnects = false, ...options }: ErrorOptions & { readonly reconnects?: boolean } = {}) {
    super('The database is read-only', options);
    this.retryable = reconnects;
  }
}

/** The database has no room left. */
export class DiskFullError extends BaseError {
  readonly code = 'disk_full';
  override get name() {
    return 'DiskFullError' as const;
  }
  constructor(options?: ErrorOptions) {
    super('The disk of the database is full', options);
  }
}

/**
 * What took too long. `statement`: it ran for `statementTimeoutMs`. `transaction`: it was not committed within its `timeoutMs`. `source`: the source
 * of `createMany` gave nothing for `sourceTimeoutMs`. `cancelled`: the server or an administrator cancelled the statement. `operation`: a long operation
 * (the making of the search index) had not ended within its `timeoutMs`.
 */
export type TimeoutReason = 'statement' | 'transaction' | 'source' | 'cancelled' | 'operation';

const TIMEOUT: Readonly<Record<TimeoutReason, string>> = {
  statement: 'The statement did not end within statementTimeoutMs',
  transaction: 'The transaction was not committed within its timeoutMs',
  source: 'The source of createMany gave no row within sourceTimeoutMs',
  cancelled: 'The statement was cancelled by the database server',
  operation: 'The operation did not end within its timeoutMs',
};

/** A time limit passed. `outcome` says what became of the call, and `retryable` whether it may be made again. */
export class TimeoutError extends BaseError {
  readonly code = 'timeout';
  override get name() {
    return 'TimeoutError' as const;
  }
  override readonly retryable: boolean;
  readonly outcome: CallOutcome;
  constructor(
    readonly reason: TimeoutReason,
    { outcome = 'rolled_back', reads, ...options }: FailureOptions = {},
  ) {
    super(TIMEOUT[reason], options);
    this.outcome = outcome;
    this.retryable = reason !== 'source' && isRepeatable(outcome, reads); // a source that was begun cannot be read again
  }
}

/** Any other failure that the driver reported. `nativeCode` is the driver's own code. */
export class DatabaseError extends BaseError {
  readonly code = 'database';
  override get name() {
    return 'DatabaseError' as const;
  }
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
export class MigrationError extends BaseError {
  readonly code = 'migration';
  override get name() {
    return 'MigrationError' as const;
  }
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
export class TransactionScopeError extends BaseError {
  readonly code = 'transaction_scope';
  override get name() {
    return 'TransactionScopeError' as const;
  }
}

/** A statement of this transaction failed before, so nothing more can be done in it. The failure is the `cause`. */
export class TransactionAbortedError extends BaseError {
  readonly code = 'transaction_aborted';
  override get name() {
    return 'TransactionAbortedError' as const;
  }
  constructor(options?: ErrorOptions) {
    super('An earlier statement of this transaction failed; it can only be rolled back', options);
  }
}

/** The store was closed. */
export class ClosedError extends BaseError {
  readonly code = 'closed';
  override get name() {
    return 'ClosedError' as const;
  }
  constructor() {
    super('The store is closed');
  }
}

/** Every error of this library, to be told apart by `code`, `name` or `instanceof`: a `switch` over `error.code` narrows it. */
export type StoreError =
  | ValidationError
  | ConfigurationError
  | DriverMissingError
  | NotFoundError
  | ConflictError
  | ForbiddenError
  | UniqueError
  | ForeignKeyError
  | CheckError
  | NotNullError
  | ImmutableError
  | TrailError
  | DecodeError
  | CryptoError
  | BusyError
  | ConnectionError
  | SerializationError
  | ReadOnlyError
  | DiskFullError
  | TimeoutError
  | DatabaseError
  | MigrationError
  | TransactionScopeError
  | TransactionAbortedError
  | ClosedError;

/** What all errors of this library are instances of. */
export const StoreError = BaseError as abstract new (...args: never) => StoreError;

/** Whether a value is an error of this library, and of this code where one is given; also across a copy of the package loaded another way. */
export function isStoreError(error: unknown): error is StoreError;
export function isStoreError<Code extends ErrorCode>(
  error: unknown,
  code: Code,
): error is Extract<StoreError, { readonly code: Code }>;
export function isStoreError(error: unknown, code?: ErrorCode): boolean {
  const isOurs = error instanceof BaseError || (error instanceof Error && 'retryable' in error && 'code' in error);
  return isOurs && (code === undefined || error.code === code);
}
