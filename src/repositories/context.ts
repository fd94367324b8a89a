import { v7 as uuidv7 } from 'uuid';
import { encodeJson, encodeSecretJson, type JsonLimits, RawJson } from '../codecs/json.ts';
import type { KeyRing } from '../codecs/key-ring.ts';
import { isEnvelope, looksSealed, type Place, seal } from '../codecs/sealed-json.ts';
import { REDACTED } from '../codecs/secret.ts';
import type { Clock, Dialect } from '../driver/dialect.ts';
import type { Driver } from '../driver/port.ts';
import type { SearchIndexTarget } from '../driver/search-index.ts';
import type { StatementCache } from '../driver/statement.ts';
import type { JsonSchemas } from '../model/schema.ts';
import type { Decoders } from './decoders.ts';
import type { TableName } from './tables.ts';

/** What every repository of one handle works with: the same whether inside a transaction or not. */
export interface Context {
  readonly dialect: Dialect;
  readonly driver: Driver;
  /** The handle is that of a transaction. */
  readonly inTransaction: boolean;
  readonly statements: StatementCache;
  readonly decoders: Decoders;
  readonly searchable: Searchable;
  /** Who is written into the audit trail. */
  readonly actor: string;
  readonly settings: StoreSettings;
}

/** What is known of the search index. */
export class Searchable {
  #age = 0;
  #known: { readonly ready: boolean; readonly until: number } | undefined;

  constructor(private readonly target: SearchIndexTarget) {}

  async isReady(driver: Driver): Promise<boolean> {
    const now = performance.now();
    if (this.#known && now < this.#known.until) return this.#known.ready;
    const age = this.#age;
    const ready = await this.target.isReady(driver);
    if (age === this.#age) this.#known = { ready, until: now + this.target.keepMs }; // or it may be old already
    return ready;
  }

  /** It was made or removed just now. */
  forget(): void {
    this.#age++;
    this.#known = undefined;
  }
}

/** What holds for a store as long as it is open. */
export interface StoreSettings {
  readonly json: JsonLimits;
  /** The caller's own types of JSON columns. */
  readonly schemas: JsonSchemas;
  readonly keys: KeyRing;
  /** Whether the data of sessions is encrypted: `required` refuses to read what is not. */
  readonly sessionEncryption: 'off' | 'on' | 'required';
  /** Whose clock gives the instant of a change: the database's, unless the store was given one. */
  readonly clock: Clock;
  /** The clock of all other timestamps that the library writes. */
  readonly now: () => Date;
  /** An approved action takes two people. */
  readonly fourEyes: boolean;
  /** Milliseconds that the source of a bulk insert may take for its next row. */
  readonly sourceTimeoutMs: number;
  /** Milliseconds from a transaction's beginning to its COMMIT. */
  readonly transactionTimeoutMs: number;
}

/** A new id: UUIDv7, in the order in which a process makes them. */
export const newId = (): string => uuidv7();

/** A JSON value, checked and written as text. */
export const json = (cx: Context, value: unknown, path: string): RawJson => encodeJson(value, path, cx.settings.json);

/** A value for a JSON column, checked against the caller's schema of it as well. */
export function columnJson(cx: Context, table: TableName, key: string, value: unknown, path: string): RawJson {
  cx.decoders.checkInput(table, key, value instanceof RawJson ? value.toJSON() : value, path);
  return json(cx, value, path);
}

/**
 * A JSON value in which secrets may stand, checked and written as text with each of them encrypted.
 *
 * @throws ValidationError; CryptoError.
 */
export const secretJson = (
  { settings }: Context,
  value: unknown,
  path: string,
  place: Place,
  /** Where the value stands in the column's. */
  at: readonly string[] = [],
): RawJson =>
  encodeSecretJson(value, path, settings.json, {
    refuseText: (text) =>
      text === REDACTED
        ? 'is the mask of a secret, not a value: keep the Secret that was read, or pass secret(text)'
        : looksSealed(text)
          ? 'looks like an encrypted text, and would be read as one: pass secret(text)'
          : null,
    refuseObject: (object) => (isEnvelope(object) ? 'is an encrypted secret: keep the Secret that was read' : null),
    seal: (open) => seal(open, place, settings.keys, at),
  });
