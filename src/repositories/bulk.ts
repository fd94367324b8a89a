import { getTableColumns, type Table } from 'drizzle-orm';
import { z } from 'zod';
import { before, deadlineIn } from '../driver/deadline.ts';
import type { Driver } from '../driver/port.ts';
import type { Values } from '../driver/statement.ts';
import { TimeoutError, TrailError, ValidationError } from '../errors.ts';
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
  /** Checks an input, and makes a row of it; `path` is where it stands in the call. Times that are undefined are that of the import. */
  readonly row: (input: Input, path: string) => Values;
  /** The audit row that goes with a row, but for its time. */
  readonly trail?: (row: Values) => Values;
  /** Hears the instant of the import, as entries of the trail have it. */
  readonly began?: (instant: unknown) => void;
}

/** Characters that are encoded before the transaction begins: what has no more is stored in one that no other writer waits long for. */
const AHEAD_CHARS = 4_000_000;

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
  const chunks = new Chunks(cx, target, inputs);
  try {
    const { ahead, isAll } = await chunks.ahead();
    if (!ahead.length) return [];
    const ids: string[] = [];
    const storeAll = async (driver: Driver) => {
      const instant = await instantOf(cx, driver);
      target.began?.(instant.entry);
      let storing: Promise<void> | undefined;
      for (let chunk = ahead.shift() ?? (await chunks.next()); chunk; chunk = ahead.shift() ?? (await chunks.next())) {
        await storing;
        storing = store(cx, driver, target.table, dated(chunk, instant), onConflict).then((inserted) => {
          for (const id of inserted) ids.push(id);
        });
        storing.catch(() => {}); // it is awaited with the next chunk, or at the end
      }
      await storing;
    };
    const { driver } = cx;
    // as long as it goes on, it may take as long as it needs: each row of the source, and each statement, has a limit of its own
    const limits = { timeoutMs: Number.POSITIVE_INFINITY };
    await (isAll || !driver.bulkTransaction ? driver.transaction(storeAll, limits) : driver.bulkTransaction(storeAll));
    return ids;
  } catch (error) {
    await chunks.end().catch(() => {}); // the first error is the one that tells
    throw error;
  }
}

/** Encoded rows, with their ids. */
interface Chunk {
  readonly ids: string[];
  readonly rows: (readonly unknown[])[];
  readonly trail: (readonly unknown[])[];
  /** Characters of text in its rows. */
  chars: number;
}

/** Inputs, checked and encoded as many at a time as one statement holds. */
class Chunks<Input> {
  readonly #iterator: Iterator<Input> | AsyncIterator<Input>;
  readonly #encodeRow: (row: Values) => unknown[];
  readonly #encodeTrail: (row: Values) => unknown[];
  #index = 0;
  #isDone = false;
  readonly #ended = new AbortController();
  /** The source has not given what it was asked for: it cannot be ended either. */
  #isOwing = false;
  #since = performance.now(); // over all chunks: SQLite stores one without leaving the microtasks

  /** @throws ValidationError when the inputs are no list. */
  constructor(
    private readonly cx: Context,
    private readonly target: BulkTarget<Input>,
    inputs: Many<Input>,
  ) {
    if (typeof inputs !== 'object' || inputs === null || !(Symbol.iterator in inputs || Symbol.asyncIterator in inputs))
      throw new ValidationError([{ path: '', message: 'is not a list' }]);
    this.#iterator = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
    this.#encodeRow = encoder(target.table);
    this.#encodeTrail = encoder(cx.dialect.tables.auditLogs);
  }

  /** The first ones; and whether there are no more. */
  async ahead(): Promise<{ readonly ahead: Chunk[]; readonly isAll: boolean }> {
    const ahead: Chunk[] = [];
    const most = this.cx.driver.bulkTransaction ? AHEAD_CHARS : 1; // elsewhere nobody waits for it
    for (let chars = 0; chars < most; ) {
      const chunk = await this.next();
      if (!chunk) return { ahead, isAll: true };
      ahead.push(chunk);
      chars += chunk.chars;
    }
    return { ahead, isAll: false };
  }

  /** Undefined when there are no more. */
  async next(): Promise<Chunk | undefined> {
    const { chunkRows, chunkChars } = this.cx.dialect.bulk;
    const { row: rowOf, trail } = this.target;
    const chunk: Chunk = { ids: [], rows: [], trail: [], chars: 0 };
    while (!this.#isDone && chunk.rows.length < chunkRows && chunk.chars < chunkChars) {
      const taken = this.#iterator.next(); // no promise for those that are at hand
      const { done, value } = 'then' in taken ? await this.#given(taken) : taken;
      if (done) {
        this.#isDone = true;
        break;
      }
      const row = rowOf(value, `[${this.#index++}]`);
      const encoded = this.#encodeRow(row);
      chunk.ids.push(String(row.id));
      chunk.rows.push(encoded);
      if (trail) chunk.trail.push(this.#encodeTrail(trail(row)));
      for (const text of encoded) if (typeof text === 'string') chunk.chars += text.length;
      if (performance.now() - this.#since > BREAK_MS) {
        await new Promise(setImmediate);
        this.#since = performance.now();
      }
    }
    return chunk.rows.length ? chunk : undefined;
  }

  /** Tells the source that no more is taken, and waits until it has ended: unless it is late already. */
  async end(): Promise<void> {
    this.#isDone = true;
    this.#ended.abort();
    const ending = Promise.resolve(this.#iterator.return?.());
    if (this.#isOwing) ending.catch(() => {});
    else await this.#inTime(ending);
  }

  /** Others wait while the source does: for the writer, or for a connection. */
  #inTime<T>(taken: PromiseLike<T>, signal?: AbortSignal): Promise<T> {
    return before(deadlineIn(this.cx.settings.sourceTimeoutMs), () => new TimeoutError('source'), taken, signal);
  }

  async #given<T>(taken: PromiseLike<T>): Promise<T> {
    this.#isOwing = true;
    const given = await this.#inTime(taken, this.#ended.signal);
    this.#isOwing = false;
    return given;
  }
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
  if (onConflict === 'error') {
    if (result.count !== rows.length) throw new TrailError();
    return ids;
  }
  const inserted = new Set(result.rows.map(([id]) => String(id)));
  return ids.filter((id) => inserted.has(id));
}

/** When an import happens, as it is stored: in the trail, and in other columns. */
interface Instant {
  readonly entry: unknown;
  readonly row: unknown;
}

/** Read after its transaction has begun: who follows the trail relies on that. */
async function instantOf({ dialect, settings, statements }: Context, driver: Driver): Promise<Instant> {
  if (settings.clock === 'given') {
    const at = dialect.tables.auditLogs.createdAt.mapToDriverValue(settings.now());
    return { entry: at, row: at };
  }
  const statement = statements.one('instant', () => dialect.instant, { reads: false });
  const { rows } = await driver.batch([statement.query({})]);
  return { entry: rows[0]?.[0], row: rows[0]?.[1] };
}

/** The chunk with the instant in the place of times that were not given. */
function dated(chunk: Chunk, { entry, row }: Instant): Chunk {
  const fill = (rows: readonly (readonly unknown[])[], at: unknown) =>
    rows.map((values) =>
      values.includes(undefined) ? values.map((value) => (value === undefined ? at : value)) : values,
    );
  return { ...chunk, rows: fill(chunk.rows, row), trail: fill(chunk.trail, entry) };
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
    chars: chunk.chars,
  };
}

/** Writes a row's values as the database takes them, in the order of the table's columns. */
function encoder(table: Table): (row: Values) => unknown[] {
  const columns = Object.entries(getTableColumns(table));
  return (row) =>
    columns.map(([key, column]) => {
      const value = row[key];
      return value === null || value === undefined || (typeof value === 'string' && column.dataType === 'string')
        ? value
        : column.mapToDriverValue(value);
    });
}
