import { type Column, getTableColumns, getTableName, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import { RawJson } from './codecs/json.ts';
import { scanJson } from './codecs/json-scan.ts';
import { renewSealed } from './codecs/sealed-json.ts';
import { openSession, sealSession, sessionKeyId } from './codecs/session-data.ts';
import { CryptoError } from './errors.ts';
import { parse } from './model/parse.ts';
import type { Context } from './repositories/context.ts';
import { SECRET_COLUMNS } from './repositories/decoders.ts';
import type { TableName } from './repositories/tables.ts';

/** The options of `rotateSecrets`. */
export interface RotateSecretsOptions {
  /** Only counts what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Rows read at once: 200 by default, 1,000 at most. */
  readonly batchSize?: number | undefined;
  /** Is told, after each batch, what was done so far. */
  readonly onProgress?: ((soFar: SecretRotation) => void) | undefined;
}

/** What a rotation did, or would do. */
export interface SecretRotation {
  /** Rows that were looked at. */
  readonly scanned: number;
  /** Rows whose secrets are now under the primary key; with `dryRun`, those that are not. */
  readonly rotated: number;
  /** Rows with something that cannot be decrypted, or read, and was left as it is: as long as there are any, keep the old keys. */
  readonly failed: number;
  /** The first 100 of them. */
  readonly failures: readonly SecretFailure[];
}

/** A row with something that could not be encrypted anew. */
export interface SecretFailure {
  readonly table: string;
  readonly id: string;
  /** As a CryptoError says it; `unreadable`: it is not even what the column stores. */
  readonly problem: CryptoError['problem'] | 'unreadable';
}

const rotateOptions = z.strictObject({
  dryRun: z.boolean().default(false),
  batchSize: z.number().int().min(1).max(1000).default(200),
  onProgress: z.custom<(soFar: SecretRotation) => void>((value) => typeof value === 'function').optional(),
});

const LISTED = 100;

/** What a stored value is to be, or null when it is as it should be; and the problems that were met. */
interface Renewed {
  readonly value: unknown;
  readonly problems: readonly SecretFailure['problem'][];
}

/** One column that holds what is encrypted. */
interface Target {
  readonly table: Table;
  readonly key: Column;
  readonly column: Column;
  readonly renew: (stored: unknown, id: string) => Renewed;
}

export async function rotateSecrets(cx: Context, options: RotateSecretsOptions): Promise<SecretRotation> {
  const { dryRun, batchSize, onProgress } = parse(rotateOptions, options);
  if (cx.settings.keys.primary === undefined) throw new CryptoError('no_key', null);
  let [scanned, rotated, failed] = [0, 0, 0];
  const failures: SecretFailure[] = [];
  const soFar = (): SecretRotation => ({ scanned, rotated, failed, failures: [...failures] });
  for (const target of targets(cx)) {
    let after: string | undefined;
    do {
      const rows = await read(cx, target, after, batchSize);
      for (const [id, stored] of rows) {
        const { changed, problem } = await rotate(cx, target, String(id), stored, dryRun);
        scanned++;
        if (changed) rotated++;
        if (problem) failed++;
        if (problem && failures.length < LISTED)
          failures.push({ table: getTableName(target.table), id: String(id), problem });
      }
      after = rows.length < batchSize ? undefined : String(rows.at(-1)?.[0]);
      onProgress?.(soFar());
    } while (after !== undefined);
  }
  return soFar();
}

/** Changed by another writer meanwhile, a row is looked at again. */
async function rotate(
  cx: Context,
  target: Target,
  id: string,
  first: unknown,
  dryRun: boolean,
): Promise<{ readonly changed: boolean; readonly problem?: SecretFailure['problem'] | undefined }> {
  const { dialect, driver, statements } = cx;
  const { table, key, column } = target;
  const name = getTableName(table);
  for (let stored = first; ; ) {
    const { value, problems } = renewal(target, stored, id);
    const [problem] = problems;
    if (value === null || dryRun) return { changed: value !== null, problem };
    const swap = statements.one(
      `${name}.rotate`,
      () =>
        sql`update ${table} set ${sql.identifier(column.name)} = ${dialect.value(column, 'renewed')} where ${key} = ${dialect.value(key, 'id')} and ${column} = ${dialect.stored(column, 'stored')}`,
      { reads: false },
    );
    if ((await driver.exec(swap.query({ id, stored, renewed: value }))).count > 0) return { changed: true, problem };
    const again = statements.one(
      `${name}.rotate again`,
      () => sql`select ${column} from ${table} where ${key} = ${dialect.value(key, 'id')}`,
      { reads: false },
    );
    const { rows } = await driver.exec(again.query({ id }));
    if (!rows[0]) return { changed: false }; // it is gone
    stored = rows[0][0];
  }
}

/** What other writers left behind must not hold up the rest. */
function renewal({ renew }: Target, stored: unknown, id: string): Renewed {
  try {
    return renew(stored, id);
  } catch (error) {
    return { value: null, problems: [error instanceof CryptoError ? error.problem : 'unreadable'] };
  }
}

/** Rows by key, as they are stored. */
async function read(
  { dialect, driver, statements }: Context,
  { table, key, column }: Target,
  after: string | undefined,
  limit: number,
) {
  const beyond = () => sql` where ${dialect.ordered(key)} > ${dialect.value(key, 'after')}`;
  const statement = statements.one(
    `${getTableName(table)}.rotate read${after === undefined ? '' : ' after'}`,
    () =>
      sql`select ${key}, ${column} from ${table}${after === undefined ? sql`` : beyond()} order by ${dialect.ordered(key)} limit ${dialect.limit('limit')}`,
    { reads: true, fresh: true }, // a row that a replica lacks would keep its old key
  );
  return (await driver.exec(statement.query({ after, limit }))).rows;
}

function targets(cx: Context): readonly Target[] {
  const { dialect, settings } = cx;
  const { keys } = settings;
  const json = Object.entries(SECRET_COLUMNS).map(([name, member]): Target => {
    const table: Table = dialect.tables[name as TableName];
    const columns = getTableColumns(table);
    return {
      table,
      key: (columns.id ?? columns.key) as Column, // every one has the one or the other
      column: columns[member] as Column, // the constant names columns
      renew: (stored, id) => {
        const before = dialect.storedJson(stored);
        JSON.parse(before); // what is no JSON throws, and is told as unreadable
        const { text, failures } = renewSealed(before, { table: getTableName(table), column: member, id }, keys);
        const problems = failures.map(({ problem }) => problem);
        if (text === null) return { value: null, problems };
        const { depth, duplicateKeys } = scanJson(text, { anyNumber: true }); // what is stored already is not refused now
        return { value: new RawJson(text, depth, duplicateKeys), problems };
      },
    };
  });
  const { sessions } = dialect.tables;
  return [
    ...json,
    {
      table: sessions,
      key: sessions.id,
      column: sessions.data,
      renew: (stored, id) => {
        if (!(stored instanceof Uint8Array)) throw new TypeError('is not bytes'); // told as unreadable
        const keyId = sessionKeyId(stored);
        if (keyId === undefined || keyId === keys.primary) return { value: null, problems: [] };
        return { value: sealSession(openSession(stored, id, keys, true), id, keys), problems: [] };
      },
    },
  ];
}
