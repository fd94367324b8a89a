import { getTableColumns, type Table } from 'drizzle-orm';
import { z } from 'zod';
import type { Driver } from '../driver/port.ts';
import type { Values } from '../driver/statement.ts';
import { ValidationError } from '../errors.ts';
import { parse } from '../model/parse.ts';
import type { Context } from './context.ts';

/** Several inputs: at hand, or coming in. */
export type Many<Input> = Iterable<Input> | AsyncIterable<Input>;

/** The options of `createMany`. */
export interface BulkOptions {
  /** What a row does whose id is taken: fail the whole (the default), or be passed over. */
  readonly onConflict?: 'error' | 'ignore' | undefined;
}

const bulkOptions = z.strictObject({ onConflict: z.enum(['error', 'ignore']).default('error') });

/** Where rows go. */
export interface BulkTarget<Input> {
  readonly table: Table;
  /** Checks an input, and makes a row of it; `path` is where it stands in the call. */
  readonly row: (input: Input, path: string) => Values;
  /** The audit row that goes with a row. */
  readonly trail?: (row: Values) => Values;
}

/** Milliseconds of encoding without a break for the event loop. */
const BREAK_MS = 10;

/**
 * Inserts rows in one transaction: all of them, or none. Inputs are taken one by one, encoded while the database stores the ones
 * before, and never all held at once. Answers the ids of those that were inserted, in order.
 */
export async function insertAll<Input>(
  cx: Context,
  target: BulkTarget<Input>,
  inputs: Many<Input>,
  options: BulkOptions = {},
): Promise<readonly string[]> {
  const { onConflict } = parse(bulkOptions, options);
  const next = taking(inputs);
  const ids: string[] = [];
  await cx.driver.transaction(async (driver) => {
    const encode = chunkEncoder(cx, target);
    let storing: Promise<void> | undefined;
    try {
      for (let chunk = await encode(next); chunk; chunk = await encode(next)) {
        await storing;
        storing = store(cx, driver, target.table, chunk, onConflict).then((inserted) => {
          for (const id of inserted) ids.push(id);
        });
        storing.catch(() => {}); // it is awaited with the next chunk, or at the end
      }
      await storing;
    } catch (error) {
      await next.end().catch(() => {}); // the first error is the one that tells
      throw error;
    }
  });
  return ids;
}

/** Encoded rows, with their ids. */
interface Chunk {
  readonly ids: string[];
  readonly rows: (readonly unknown[])[];
  readonly trail: (readonly unknown[])[];
}

/** The inputs one after the other, without a promise for those that are at hand; and how to end before they do. */
interface Taking<Input> {
  (): IteratorResult<Input> | Promise<IteratorResult<Input>>;
  end(): Promise<unknown>;
}

function taking<Input>(inputs: Many<Input>): Taking<Input> {
  if (typeof inputs !== 'object' || inputs === null || !(Symbol.iterator in inputs || Symbol.asyncIterator in inputs))
    throw new ValidationError([{ path: '', message: 'is not a list' }]);
  const iterator = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
  return Object.assign(() => iterator.next(), { end: async () => iterator.return?.() });
}

/** Takes and encodes as many inputs as one statement holds; undefined when there are no more. */
function chunkEncoder<Input>(cx: Context, { table, row: rowOf, trail }: BulkTarget<Input>) {
  const { chunkRows, chunkChars } = cx.dialect.bulk;
  const encodeRow = encoder(table);
  const encodeTrail = encoder(cx.dialect.tables.auditLogs);
  let index = 0;
  let since = performance.now(); // over all chunks: SQLite stores one without leaving the microtasks
  return async (next: Taking<Input>): Promise<Chunk | undefined> => {
    const chunk: Chunk = { ids: [], rows: [], trail: [] };
    let chars = 0;
    while (chunk.rows.length < chunkRows && chars < chunkChars) {
      const taken = next();
      const { done, value } = 'then' in taken ? await taken : taken;
      if (done) break;
      const row = rowOf(value, `[${index++}]`);
      const encoded = encodeRow(row);
      chunk.ids.push(String(row.id));
      chunk.rows.push(encoded);
      if (trail) chunk.trail.push(encodeTrail(trail(row)));
      for (const text of encoded) if (typeof text === 'string') chars += text.length;
      if (performance.now() - since > BREAK_MS) {
        await new Promise(setImmediate);
        since = performance.now();
      }
    }
    return chunk.rows.length ? chunk : undefined;
  };
}

async function store(
  { dialect }: Context,
  driver: Driver,
  table: Table,
  chunk: Chunk,
  onConflict: 'error' | 'ignore',
): Promise<readonly string[]> {
  const { ids, rows, trail } = onConflict === 'ignore' ? distinct(chunk) : chunk;
  const result = await driver.batch(
    dialect.bulkInsert({ table, rows, trail, ignoreConflicts: onConflict === 'ignore' }),
  );
  if (onConflict === 'error') return ids;
  const inserted = new Set(result.rows.map(([id]) => String(id)));
  return ids.filter((id) => inserted.has(id));
}

/** The rows of a chunk without those whose id stands in it before. */
function distinct(chunk: Chunk): Chunk {
  const first = new Map(chunk.ids.toReversed().map((id, i) => [id, chunk.ids.length - 1 - i]));
  if (first.size === chunk.ids.length) return chunk;
  const isFirst = (_: unknown, i: number) => first.get(chunk.ids[i] as string) === i;
  return {
    ids: chunk.ids.filter(isFirst),
    rows: chunk.rows.filter(isFirst),
    trail: chunk.trail.filter(isFirst),
  };
}

/** Writes a row's values as the database takes them, in the order of the table's columns. */
function encoder(table: Table): (row: Values) => unknown[] {
  const columns = Object.entries(getTableColumns(table));
  return (row) =>
    columns.map(([key, column]) => {
      const value = row[key];
      return value === null || (typeof value === 'string' && column.dataType === 'string')
        ? value
        : column.mapToDriverValue(value);
    });
}
