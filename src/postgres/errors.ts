import {
  BusyError,
  type CallOutcome,
  CheckError,
  ConnectionError,
  type ConnectionReason,
  DatabaseError,
  DiskFullError,
  ForeignKeyError,
  ImmutableError,
  NotNullError,
  ReadOnlyError,
  SerializationError,
  StoreError,
  TimeoutError,
  TrailError,
  UniqueError,
  ValidationError,
} from '../errors.ts';

/** What postgres.js reports of a failure, where the server sent it: the fields of the protocol's ErrorResponse. */
interface ServerError extends Error {
  readonly code?: string;
  readonly severity?: string;
  readonly severity_local?: string;
  readonly detail?: string;
  readonly table_name?: string;
  readonly column_name?: string;
  readonly constraint_name?: string;
  readonly schema_name?: string;
  readonly routine?: string;
}

/** The fields that never quote a value. `detail`, `hint`, `where`, `query` and `parameters` may. */
const SAFE_FIELDS = [
  'code',
  'severity',
  'severity_local',
  'schema_name',
  'table_name',
  'column_name',
  'constraint_name',
  'routine',
  'errno',
  'syscall',
] as const;

const isOfTls = ({ code = '' }: NodeJS.ErrnoException) =>
  /^(EPROTO|ERR_(TLS|SSL)_\w+|\w*CERT\w*|UNABLE_TO_\w+)$/.test(code);

/** What sockets and TLS fail with: those of the system have a call, those of TLS have such a code. */
const isOfNetwork = (error: NodeJS.ErrnoException) =>
  error.syscall !== undefined || isOfTls(error) || /^(E[A-Z]+|ERR_SOCKET_\w+)$/.test(error.code ?? '');

const isOfServer = (error: unknown): error is ServerError =>
  error instanceof Error && typeof severityOf(error) === 'string';

/** PgBouncer sends no severity of the untranslated kind. */
const severityOf = ({ severity, severity_local }: ServerError) => severity ?? severity_local;

/**
 * Whether the connection that a statement ran on cannot be used any more: it is closed, or about to be; or the failure is the client's own, and
 * postgres.js 3.4.9 may now give the results of one statement to another.
 */
export function endsConnection(error: unknown): boolean {
  if (!isOfServer(error)) return true;
  return /^(FATAL|PANIC)$/.test(severityOf(error) ?? '') || /^57P0/.test(error.code ?? '');
}

/** Whether a statement was refused since the server, or its transaction, only reads. */
export const isReadOnly = (error: unknown): boolean => isOfServer(error) && error.code === '25006';

/** What is known of a statement that failed, besides what the driver threw. */
export interface Circumstances {
  /** What became of it where its connection was lost. */
  readonly whenLost: CallOutcome;
  readonly reads: boolean;
  /** Its time limit had passed, and the server was asked to cancel it. */
  readonly wasCancelled?: boolean;
  /** A next connection may lead to a server that takes writes. */
  readonly reconnects?: boolean;
}

/** What postgres.js threw for a statement → the store's error. */
export function classify(error: unknown, { whenLost, reads, wasCancelled, reconnects }: Circumstances): StoreError {
  if (error instanceof StoreError) return error;
  const { code = '', detail, table_name, column_name, constraint_name } = error as ServerError;
  const options = error instanceof Error ? { cause: withoutValues(error) } : {};
  switch (code) {
    case '23505':
      return new UniqueError(table_name ?? null, keyColumns(detail), options);
    case '23503':
    case '23001':
      return new ForeignKeyError(options);
    case '23514':
      return new CheckError(constraint_name ?? null, options);
    case '23502':
      return new NotNullError(table_name ?? null, column_name ?? null, options);
    case 'TW001':
      return new ImmutableError(options);
    case '22012':
      return new TrailError(options); // only what compares a change with its audit rows divides
    case '40001':
    case '40P01':
      return new SerializationError(options);
    case '55P03':
      return new BusyError('lock', options);
    case '57014':
      return new TimeoutError(wasCancelled ? 'statement' : 'cancelled', options);
    case '25006':
      return new ReadOnlyError({ ...options, ...(reconnects ? { reconnects } : {}) });
    case '53100':
      return new DiskFullError(options);
    case '54000':
      return new ValidationError([{ path: '', message: 'is larger than the database can store' }]);
  }
  if (!isOfServer(error)) return new ConnectionError('lost', { ...options, outcome: whenLost, reads });
  if (endsConnection(error)) {
    const reason = /^57P0[12]$/.test(code) ? 'shutting_down' : 'lost';
    return new ConnectionError(reason, { ...options, outcome: whenLost, reads });
  }
  return new DatabaseError(code || null, options);
}

/** What postgres.js threw while a connection was made → the store's error. The database has seen nothing of any call. */
export function connectFailure(error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  const options = error instanceof Error ? { cause: withoutValues(error) } : {};
  return new ConnectionError(reasonOf(error), options);
}

function reasonOf(error: unknown): ConnectionReason {
  const { code = '', message = '' } = error as NodeJS.ErrnoException;
  if (/before secure TLS connection/.test(message)) return 'tls';
  if (isOfServer(error)) {
    if (code === '57P03') return 'starting';
    if (/^57P0/.test(code)) return 'shutting_down';
    if (/^53/.test(code)) return 'too_many_connections';
    if (/^28/.test(code)) return 'authentication';
    if (code === '3D000') return 'no_database';
    // PgBouncer says nearly everything by 08P01: also that no server is there, or that the wait for one took too long
    return /^08/.test(code) && !/startup parameter/.test(message) ? 'refused' : 'rejected';
  }
  if (code === 'SASL_SIGNATURE_MISMATCH') return 'authentication';
  if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'EACCES') return 'refused';
  if (code === 'ETIMEDOUT') return 'timeout';
  if (/^(EAI_\w+|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL|EINVAL)$/.test(code))
    return 'unreachable';
  if (error instanceof Error && isOfTls(error)) return 'tls';
  return error instanceof Error && (isOfNetwork(error) || code.startsWith('CONNECTION_')) ? 'lost' : 'rejected';
}

/** `Key (lower(email COLLATE "C"), name)=(…) already exists.`: the columns, without the values. */
const keyColumns = (detail = '') =>
  (/^Key \((.+?)\)=\(/.exec(detail)?.[1]?.split(', ') ?? []).map((key) => /^lower\(+(\w+)/.exec(key)?.[1] ?? key);

/**
 * The driver's error with only the fields that cannot hold a value. A copy: postgres.js defines `parameters` and `query` on
 * its own so that they cannot be removed. The messages of data exceptions (class 22) and of other people's triggers (P0) may quote a value.
 */
function withoutValues(error: Error): Error {
  const { code = '' } = error as ServerError;
  const message = /^(22|P0)/.test(code)
    ? 'data exception (its message is left out: it quotes the value)'
    : error.message;
  const copy: Error = Object.create(Object.getPrototypeOf(error));
  const hidden = (value: string) => ({ value, enumerable: false, writable: true, configurable: true });
  const frames = error.stack?.split('\n').slice(error.message.split('\n').length) ?? [];
  Object.defineProperties(copy, {
    message: hidden(message),
    name: hidden(error.name),
    stack: hidden([`${error.name}: ${message}`, ...frames].join('\n')),
  });
  for (const field of SAFE_FIELDS) {
    const value = (error as unknown as Record<string, unknown>)[field];
    if (value !== undefined) Object.assign(copy, { [field]: value });
  }
  return copy;
}
