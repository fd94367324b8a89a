import { Column, getTableColumns, getTableName, type Table } from 'drizzle-orm';
import { DecodeError } from '../errors.ts';

type Decode = (value: unknown) => unknown;

/** Makes rows of a table's columns, in their order, into objects. `RowOf` is what the table's codecs produce. */
export type RowDecoder<RowOf> = (row: readonly unknown[]) => RowOf;

/** What is done to a row after its columns were decoded: it changes the row, or throws. */
export type Refine = (row: Record<string, unknown>) => void;

/**
 * Writes the decoder of rows of a table: of the columns with these keys, in the order in which they are read.
 *
 * The decoder throws DecodeError for JSON, an enum value, a UUID or a timestamp that cannot be read: it names the table, the
 * column and the row's id, and never the content.
 */
export function rowDecoder<RowOf>(table: Table, read: readonly string[], refine?: Refine): RowDecoder<RowOf> {
  const all = getTableColumns(table);
  const columns = read.map((key) => [key, all[key] as Column] as const); // they are keys of the table
  const keys = columns.map(([key]) => key);
  const decoders = columns.map(([, column]) => columnDecoder(column));
  const idAt = columns.findIndex(([, column]) => column.primary);
  return (row) => {
    const decoded: Record<string, unknown> = {};
    let at = 0;
    try {
      for (; at < keys.length; at++) {
        const value = row[at];
        const decode = decoders[at];
        decoded[keys[at] as string] = value === null || !decode ? value : decode(value);
      }
    } catch (error) {
      const id = row[idAt];
      throw new DecodeError(
        getTableName(table),
        columns[at]?.[1].name ?? '',
        typeof id === 'string' && at !== idAt ? id : null,
        // a TypeError is a codec's own constant text; the JSON parser's error quotes what it read
        error instanceof TypeError ? error.message : 'is not JSON',
      );
    }
    refine?.(decoded);
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
