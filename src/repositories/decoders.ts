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
  readonly #decoders = new Map<TableName, RowDecoder<never>>();
  readonly #refinements = new Map<TableName, Refine | undefined>();
  readonly #columnKeys = new Map<TableName, readonly string[]>();

  constructor(
    private readonly tables: Tables,
    private readonly schemas: JsonSchemas,
    private readonly keys: KeyRing,
    /** Sessions that are not encrypted are refused. */
    private readonly sessionsEncrypted: boolean,
  ) {}

  /** Rows as the database answers them → rows. */
  of<Name extends TableName>(name: Name): RowDecoder<Rows[Name]> {
    let decoder = this.#decoders.get(name);
    if (!decoder) {
      decoder = rowDecoder<never>(this.tables[name], this.columnKeys(name), this.refine(name));
      this.#decoders.set(name, decoder);
    }
    return decoder as RowDecoder<Rows[Name]>;
  }

  /** The keys of the columns that reads answer, in their order. */
  columnKeys(name: TableName): readonly string[] {
    let keys = this.#columnKeys.get(name);
    if (!keys) this.#columnKeys.set(name, (keys = readable(this.tables, name)));
    return keys;
  }

  /** What is done to a row after its columns were decoded; undefined where there is nothing to be done. */
  refine(name: TableName): Refine | undefined {
    if (!this.#refinements.has(name)) this.#refinements.set(name, this.#refinement(name));
    return this.#refinements.get(name);
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

  #refinement(name: TableName): Refine | undefined {
    const table: Table = this.tables[name];
    const tableName = getTableName(table);
    const steps: Refine[] = [];
    const secret = SECRET_COLUMNS[name];
    if (secret !== undefined)
      steps.push((row) => {
        row[secret] = unseal(row[secret], { table: tableName, column: secret, id: keyOf(row) }, this.keys);
      });
    if (name === 'sessions')
      steps.push((row) => {
        row.data = openSession(row.data as Uint8Array, keyOf(row), this.keys, this.sessionsEncrypted);
      });
    if (name === 'apiKeys')
      steps.push((row) => {
        // what a client may do hangs on it: a text would hold every part of itself as a scope
        if (!Array.isArray(row.scopes) || !row.scopes.every((scope) => typeof scope === 'string'))
          throw new DecodeError(tableName, 'scopes', keyOf(row), 'is not a list of texts');
      });
    for (const [key, column] of Object.entries(getTableColumns(table))) {
      const schema = this.schemaOf(name, key);
      if (schema)
        steps.push((row) => {
          if (row[key] === null && !column.notNull) return;
          if (name === 'actions' && key === 'result' && leaseOf(row as { result: never })) return; // not a result yet
          row[key] = this.output(schema, row[key], tableName, column.name, keyOf(row));
        });
    }
    if (!steps.length) return undefined;
    return (row) => {
      for (const step of steps) step(row);
    };
  }
}

/** A row's primary key. */
const keyOf = (row: Readonly<Record<string, unknown>>) => String(row.id ?? row.key);
