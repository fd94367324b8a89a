import { z } from 'zod';
import { parseTimestamp } from '../codecs/timestamp.ts';
import { ValidationError } from '../errors.ts';
import { parse } from '../model/parse.ts';

/** Rows that a page holds unless the caller says otherwise, and at most. */
export const DEFAULT_LIMIT = 50;
export const MAX_LIMIT = 200;

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

/** A page's number, from 1. */
export function clampPage(page: number): number {
  return Number.isNaN(page) ? 1 : Math.min(Math.max(Math.trunc(page), 1), 1_000_000_000);
}

/** The sort column's stored text, to the last digit, and the id: exact where a Date would be too coarse. */
export interface Cursor {
  readonly at: string;
  readonly id: string;
}

export const encodeCursor = (sort: string, { at, id }: Cursor): string =>
  Buffer.from(JSON.stringify([sort, at, id])).toString('base64url');

const content = z.tuple([
  z.string(),
  z.string().refine((text) => text.length <= 64 && parseTimestamp(text) !== null),
  z.guid(),
]);

/** @throws ValidationError for a text that is no cursor, or one of another sort order. */
export function decodeCursor(sort: string, text: string): Cursor {
  let read: unknown;
  try {
    read = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    read = undefined;
  }
  const parsed = content.safeParse(read);
  if (!parsed.success) throw new ValidationError([{ path: 'after', message: 'is not a cursor of this list' }]);
  const [from, at, id] = parsed.data;
  if (from !== sort) throw new ValidationError([{ path: 'after', message: 'is a cursor of another sort order' }]);
  return { at, id };
}

const anyNumber = z.custom<number>((value) => typeof value === 'number', 'is not a number');

/** The checks of the options of a list with these sort orders. */
export function pagingSchema(sorts: readonly [string, ...string[]]) {
  const sort = z.enum(sorts).optional();
  const numbered = z.strictObject({ page: anyNumber.optional(), perPage: anyNumber.optional(), sort });
  const byCursor = z.strictObject({ limit: anyNumber.optional(), after: z.string().nullish(), sort });
  return {
    numbered: (options: object) => parse(numbered, options),
    byCursor: (options: object) => parse(byCursor, options),
  };
}
