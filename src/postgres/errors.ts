import {
  BusyError,
  CheckError,
  ClosedError,
  ConnectionError,
  DatabaseError,
  DiskFullError,
  ForeignKeyError,
  ImmutableError,
  NotNullError,
  ReadOnlyError,
  SerializationError,
  StoreError,
  TimeoutError,
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

/** What sockets and TLS fail with: those of the system have a call, those of TLS have such a code. */
const isOfNetwork = ({ code = '', syscall }: NodeJS.ErrnoException) =>
  syscall !== undefined || /^(E[A-Z]+|ERR_(TLS|SSL|SOCKET)_\w+|\w*CERT\w*|UNABLE_TO_\w+)$/.test(code);

/** Whether the connection that a statement ran on is gone. */
export function isConnectionLost(error: unknown): boolean {
  const cause = error instanceof StoreError ? error.cause : error;
  if (!(cause instanceof Error)) return false;
  const { code = '', severity } = cause as ServerError;
  return severity === 'FATAL' || severity === 'PANIC' || code.startsWith('CONNECTION_') || isOfNetwork(cause);
}

/** What postgres.js threw → the store's error. */
export function classify(error: unknown): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error;
  const { code = '', detail, table_name, column_name, constraint_name } = error as ServerError;
  const options = { cause: withoutValues(error) };
  if (code === 'CONNECTION_ENDED') return new ClosedError();
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
    case '40001':
    case '40P01':
      return new SerializationError(options);
    case '55P03':
      return new BusyError(options);
    case '57014':
      return new TimeoutError(options);
    case '25006':
      return new ReadOnlyError(options);
    case '53100':
      return new DiskFullError(options);
    case '54000':
      return new ValidationError([{ path: '', message: 'is larger than the database can store' }]);
  }
  if (isConnectionLost(error) || code === 'CONNECT_TIMEOUT' || /^(08|28|53|57P|3D)/.test(code))
    return new ConnectionError(options);
  return new DatabaseError(code || null, options);
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
