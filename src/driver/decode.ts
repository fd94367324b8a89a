import { Column, getTableColumns, getTableName, type Table } from 'drizzle-orm';
import { DecodeError, StoreError } from '../errors.ts';

type Decode = (value: unknown) => unknown;

/** Makes rows of a table's columns, in their order, into objects. `RowOf` is what the table's codecs produce. */
export type RowDecoder<RowOf> = (row: readonly unknown[]) => RowOf;

/** What is made of a column's decoded value, in the row with this id. */
export type Refine = (value: unknown, id: string) => unknown;

/** Which columns of a table are decoded, and how. */
export interface Reading {
  /** Their keys: they are the first columns of what is read, in this order. */
  readonly keys: readonly string[];
  /** Where the primary key stands in what is read. */
  readonly idAt: number;
  /** By the column's key. */
  readonly refine: Readonly<Record<string, Refine | undefined>>;
}

/**
 * Writes the decoder of rows of a table.
 *
 * The decoder throws DecodeError for JSON, an enum value, a UUID or a timestamp that cannot be read: it names the table, the
 * column and the row's id, and never the content.
 */
export function rowDecoder<RowOf>(table: Table, { keys, idAt, refine }: Reading): RowDecoder<RowOf> {
  const all = getTableColumns(table);
  const columns = keys.map((key) => all[key] as Column); // they are keys of the table
  const decoders = columns.map(columnDecoder);
  const refinements = keys.map((key) => refine[key]);
  return (row) => {
    const decoded: Record<string, unknown> = {};
    let at = 0;
    try {
      for (; at < keys.length; at++) {
        const value = row[at];
        const decode = decoders[at];
        const plain = value === null || !decode ? value : decode(value);
        const refined = refinements[at];
        decoded[keys[at] as string] = refined && value !== null ? refined(plain, String(row[idAt])) : plain;
      }
    } catch (error) {
      if (error instanceof StoreError) throw error; // a CryptoError, or the caller's own schema
      const id = row[idAt];
      throw new DecodeError(
        getTableName(table),
        columns[at]?.name ?? '',
        typeof id === 'string' && at !== idAt ? id : null,
        // a TypeError is a codec's own constant text; the JSON parser's error quotes what it read
        error instanceof TypeError ? error.message : 'is not JSON',
      );
    }
    return decoded as RowOf; // the proof in repositories/tables.ts is of exactly these codecs
  };
}

/** The decoder of one column; undefined where the stored value is the value. */
function columnDecoder(column: Column): Decode | undefined {
  const values = column.enumValues;
  if (values?.length) {
    const known = new Set<unknown>(values);
    return (value) => {
      if (!known.has(value)) throw new TypeError('is not one of its known values');
      return value;
    };
  }
  if (column.mapFromDriverValue === Column.prototype.mapFromDriverValue) return undefined;
  return (value) => column.mapFromDriverValue(value);
}
