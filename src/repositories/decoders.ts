import { getTableColumns, getTableName, type Table } from 'drizzle-orm';
import type { KeyRing } from '../codecs/key-ring.ts';
import { unseal } from '../codecs/sealed-json.ts';
import { openSession } from '../codecs/session-data.ts';
import { type Refine, type RowDecoder, rowDecoder } from '../driver/decode.ts';
import { DecodeError, ValidationError } from '../errors.ts';
import { check, issuesOf } from '../model/check-schema.ts';
import { leaseOf } from '../model/lease.ts';
import type { JsonSchemas, StandardSchema } from '../model/schema.ts';
import { type Rows, readable, type TableName, type Tables } from './tables.ts';

/** The JSON columns in which secrets stand. */
export const SECRET_COLUMNS: Readonly<Partial<Record<TableName, string>>> = {
  connectors: 'config',
  notificationChannels: 'config',
  settings: 'value',
};

/**
 * How the rows of one store are read: decrypted with its keys, and given the types of the caller's own schemas. Those are
 * also what its inputs are checked against.
 */
export class Decoders {
  readonly #decoders = new Map<string, RowDecoder<never>>();
  readonly #refinements = new Map<TableName, Readonly<Record<string, Refine>>>();
  readonly #columnKeys = new Map<TableName, readonly string[]>();

  constructor(
    private readonly tables: Tables,
    private readonly schemas: JsonSchemas,
    private readonly keys: KeyRing,
    /** Sessions that are not encrypted are refused. */
    private readonly sessionsEncrypted: boolean,
  ) {}

  /** Rows as the database answers them → rows of these columns, by their keys; all that reads answer unless they are given. */
  of<Name extends TableName>(name: Name, keys?: readonly string[]): RowDecoder<Rows[Name]> {
    const shape = keys ? `${name} ${keys.join()}` : name;
    let decoder = this.#decoders.get(shape);
    if (!decoder) {
      const read = keys ?? this.columnKeys(name);
      const key = name === 'settings' ? 'key' : 'id';
      // what is not selected is read behind what is: the id first
      const idAt = read.includes(key) ? read.indexOf(key) : read.length;
      decoder = rowDecoder<never>(this.tables[name], { keys: read, idAt, refine: this.refinements(name) });
      this.#decoders.set(shape, decoder);
    }
    return decoder as RowDecoder<Rows[Name]>;
  }

  /** The keys of the columns that reads answer, in their order. */
  columnKeys(name: TableName): readonly string[] {
    let keys = this.#columnKeys.get(name);
    if (!keys) this.#columnKeys.set(name, (keys = readable(this.tables, name)));
    return keys;
  }

  /** What is made of decoded values, by the column's key. */
  refinements(name: TableName): Readonly<Record<string, Refine>> {
    let refinements = this.#refinements.get(name);
    if (!refinements) this.#refinements.set(name, (refinements = this.#refinementsOf(name)));
    return refinements;
  }

  /** Checks a value for a JSON column against the caller's schema of it. @throws ValidationError */
  checkInput(name: TableName, key: string, value: unknown, path: string): void {
    const schema = this.schemaOf(name, key);
    if (!schema) return;
    const { issues } = check(schema, value);
    if (issues) throw new ValidationError(issuesOf(schema, issues, path));
  }

  /** What a schema makes of a stored value. @throws DecodeError when it does not fit. */
  output(schema: StandardSchema, value: unknown, table: string, column: string, id: string): unknown {
    const result = check(schema, value);
    if (!result.issues) return result.value;
    // without the paths: their keys may be the row's content
    const reasons = new Set(issuesOf(schema, result.issues, '').map(({ message }) => message));
    throw new DecodeError(table, column, id, [...reasons].join('; '));
  }

  schemaOf(name: TableName, key: string): StandardSchema | undefined {
    return (this.schemas as Readonly<Record<string, Readonly<Record<string, StandardSchema | undefined>> | undefined>>)[
      name
    ]?.[key];
  }

  #refinementsOf(name: TableName): Readonly<Record<string, Refine>> {
    const table: Table = this.tables[name];
    const tableName = getTableName(table);
    const refinements: Record<string, Refine> = {};
    const column = SECRET_COLUMNS[name];
    if (column !== undefined)
      refinements[column] = (value, id) => unseal(value, { table: tableName, column, id }, this.keys);
    if (name === 'sessions')
      refinements.data = (value, id) => openSession(value as Uint8Array, id, this.keys, this.sessionsEncrypted);
    if (name === 'apiKeys')
      refinements.scopes = (value) => {
        // what a client may do hangs on it: a text would hold every part of itself as a scope
        if (!Array.isArray(value) || !value.every((scope) => typeof scope === 'string'))
          throw new TypeError('is not a list of texts');
        return value;
      };
    for (const [key, { name: columnName }] of Object.entries(getTableColumns(table))) {
      const schema = this.schemaOf(name, key);
      const before = refinements[key];
      if (!schema) continue;
      refinements[key] = (stored, id) => {
        const value = before ? before(stored, id) : stored;
        if (name === 'actions' && key === 'result' && leaseOf({ result: value as never })) return value; // not a result yet
        return this.output(schema, value, tableName, columnName, id);
      };
    }
    return refinements;
  }
}
