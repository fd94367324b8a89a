import type { Column } from 'drizzle-orm';
import { z } from 'zod';
import type { Dialect } from '../driver/dialect.ts';
import { ValidationError } from '../errors.ts';
import { parse } from '../model/parse.ts';

/** Rows that a page holds unless the caller says otherwise, and at most. */
export const DEFAULT_LIMIT = 50;
export const MAX_LIMIT = 200;
const DEFAULT_BATCH = 500;
const MAX_BATCH = 1000;

/** A page by cursor: exact also when rows come and go in between. */
export interface CursorOptions<Sort extends string> {
  /** Rows of the page: 50 by default, at least 1, at most 200. */
  readonly limit?: number | undefined;
  /** The `next` of the page before. It belongs to the sort order that it came from. */
  readonly after?: string | null | undefined;
  readonly sort?: Sort | undefined;
}

/** A page by number, with totals, as dashboards show them. Costs a count. */
export interface NumberedOptions<Sort extends string> {
  /** From 1, which is the default. */
  readonly page?: number | undefined;
  /** Rows of a page: 50 by default, at least 1, at most 200. */
  readonly perPage?: number | undefined;
  readonly sort?: Sort | undefined;
}

/** Some rows of a list. */
export interface Page<Row> {
  readonly items: readonly Row[];
  /** The cursor of the page after this one; null on the last. */
  readonly next: string | null;
}

/** Some rows of a list, by page number. */
export interface NumberedPage<Row> {
  readonly items: readonly Row[];
  readonly page: number;
  readonly perPage: number;
  /** All rows of the list. */
  readonly total: number;
  /** All pages of the list, at least 1. */
  readonly pages: number;
}

/** The one place that decides how many rows a page holds: a number that makes no sense is the default. */
export function clampLimit(limit: number | undefined): number {
  if (limit === undefined || Number.isNaN(limit)) return DEFAULT_LIMIT;
  return Math.min(Math.max(Math.trunc(limit), 1), MAX_LIMIT);
}

/** Rows that a stream reads at once. */
export function clampBatch(size: number | undefined): number {
  if (size === undefined || Number.isNaN(size)) return DEFAULT_BATCH;
  return Math.min(Math.max(Math.trunc(size), 1), MAX_BATCH);
}

/** A page's number, from 1. */
export function clampPage(page: number): number {
  return Number.isNaN(page) ? 1 : Math.min(Math.max(Math.trunc(page), 1), 1_000_000_000);
}

/** The sort columns' stored values, a timestamp's to the last digit, and the id: exact where a Date would be too coarse. */
export interface Cursor {
  readonly values: readonly (string | number)[];
  readonly id: string;
}

export const encodeCursor = (sort: string, { values, id }: Cursor): string =>
  Buffer.from(JSON.stringify([sort, ...values, id])).toString('base64url');

/**
 * Reads a cursor of a list that is ordered by these columns.
 *
 * @throws ValidationError for a text that is no cursor, or one of another sort order.
 */
export function decodeCursor(
  sort: string,
  columns: readonly Column[],
  { isStored }: Pick<Dialect, 'isStored'>,
  parseKey: (id: string) => string,
  given: string,
): Cursor {
  const refuse = (message: string) => new ValidationError([{ path: 'after', message }]);
  let read: unknown;
  try {
    read = JSON.parse(Buffer.from(given, 'base64url').toString());
  } catch {
    read = undefined;
  }
  if (!Array.isArray(read) || typeof read[0] !== 'string') throw refuse('is not a cursor of this list');
  if (read[0] !== sort) throw refuse('is a cursor of another sort order');
  const values: readonly unknown[] = read.slice(1, -1);
  const id: unknown = read.at(-1);
  try {
    if (values.length === columns.length && columns.every((column, i) => isStored(column, values[i])))
      return { values: values as (string | number)[], id: parseKey(id as string) };
  } catch {
    // the id is not one
  }
  throw refuse('is not a cursor of this list');
}

const anyNumber = z.custom<number>((value) => typeof value === 'number', 'is not a number');

/** The checks of the options of a list with these sort orders. */
export function pagingSchema(sorts: readonly [string, ...string[]]) {
  const sort = z.enum(sorts).optional();
  const numbered = z.strictObject({ page: anyNumber.optional(), perPage: anyNumber.optional(), sort });
  const byCursor = z.strictObject({ limit: anyNumber.optional(), after: z.string().nullish(), sort });
  const streamed = z.strictObject({ batchSize: anyNumber.optional(), sort });
  return {
    numbered: (options: object) => parse(numbered, options),
    byCursor: (options: object) => parse(byCursor, options),
    streamed: (options: object) => parse(streamed, options),
  };
}
