import { v7 as uuidv7 } from 'uuid';
import { encodeJson, type JsonLimits, type RawJson } from '../codecs/json.ts';
import type { Dialect } from '../driver/dialect.ts';
import type { Driver } from '../driver/port.ts';
import type { StatementCache } from '../driver/statement.ts';

/** What every repository of one handle works with: the same whether inside a transaction or not. */
export interface Context {
  readonly dialect: Dialect;
  readonly driver: Driver;
  readonly statements: StatementCache;
  /** Who is written into the audit trail. */
  readonly actor: string;
  readonly settings: Settings;
}

/** What holds for a store as long as it is open. */
export interface Settings {
  readonly json: JsonLimits;
  /** The clock of every timestamp that the library writes. */
  readonly now: () => Date;
  /** Who requested an approval cannot decide it. */
  readonly fourEyes: boolean;
}

/** A new id: UUIDv7, in the order in which a process makes them. */
export const newId = (): string => uuidv7();

/** A JSON value, checked and written as text. */
export const json = (cx: Context, value: unknown, path: string): RawJson => encodeJson(value, path, cx.settings.json);
