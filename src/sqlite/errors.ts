import {
  BusyError,
  CheckError,
  ConnectionError,
  DatabaseError,
  DiskFullError,
  ForeignKeyError,
  ImmutableError,
  NotNullError,
  ReadOnlyError,
  StoreError,
  UniqueError,
  ValidationError,
} from '../errors.ts';

const isSqliteError = (error: unknown): error is Error & { code: string } =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('SQLITE_');

/** Whether another connection holds a lock that this one needs. */
export const isBusy = (error: unknown): boolean =>
  isSqliteError(error) && (error.code.startsWith('SQLITE_BUSY') || error.code.startsWith('SQLITE_LOCKED'));

/** What better-sqlite3 threw → the store's error. Its messages name tables, columns and constraints, never a value. */
export function classify(error: unknown): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error;
  const options = { cause: error };
  if (!isSqliteError(error)) return new DatabaseError(null, options);
  const { code, message } = error;
  if (isBusy(error)) return new BusyError('lock', options);
  if (code.startsWith('SQLITE_READONLY')) return new ReadOnlyError(options);
  if (code.startsWith('SQLITE_CANTOPEN')) return new ConnectionError('file', options);
  switch (code) {
    case 'SQLITE_CONSTRAINT_UNIQUE':
    case 'SQLITE_CONSTRAINT_PRIMARYKEY':
    case 'SQLITE_CONSTRAINT_ROWID':
      return unique(message, options);
    case 'SQLITE_CONSTRAINT_FOREIGNKEY':
      return new ForeignKeyError(options);
    case 'SQLITE_CONSTRAINT_CHECK':
      return new CheckError(afterColon(message), options);
    case 'SQLITE_CONSTRAINT_NOTNULL': {
      const [table = null, column = null] = afterColon(message)?.split('.') ?? [];
      return new NotNullError(table, column, options);
    }
    case 'SQLITE_CONSTRAINT_TRIGGER':
      return trigger(message, options);
    case 'SQLITE_FULL':
      return new DiskFullError(options);
    case 'SQLITE_TOOBIG':
      return new ValidationError([{ path: '', message: 'is larger than the database can store' }]);
    default:
      return new DatabaseError(code, options);
  }
}

const afterColon = (message: string) => /: (.+)$/.exec(message)?.[1] ?? null;

/** `UNIQUE constraint failed: users.email` or `…: index 'users_email_unique'` */
function unique(message: string, options: ErrorOptions): UniqueError {
  const named = afterColon(message) ?? '';
  const index = /^index '(.+)'$/.exec(named)?.[1];
  if (index !== undefined) return new UniqueError(null, [index], options);
  const columns = named.split(', ').map((column) => column.split('.'));
  return new UniqueError(
    columns[0]?.[0] ?? null,
    columns.map(([, column = '']) => column),
    options,
  );
}

/** The messages of the triggers in drizzle/sqlite. */
function trigger(message: string, options: ErrorOptions): StoreError {
  switch (message) {
    case 'audit_logs is immutable':
      return new ImmutableError(options);
    case 'audit_logs.id is taken':
      return new UniqueError('audit_logs', ['id'], options);
    default:
      return new DatabaseError('SQLITE_CONSTRAINT_TRIGGER', options);
  }
}
