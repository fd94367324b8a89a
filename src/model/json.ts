import type { RawJson } from '../codecs/json.ts';

/** What JSON holds. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

/** A JSON object. A member that is `undefined` is left out when it is written. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/**
 * A payload to be stored as it is: a JSON value, an object of the caller's own interface, or `rawJson(text)`. What JSON
 * cannot hold is refused when it is written, with its path.
 */
export type JsonInput = string | number | boolean | null | object | RawJson;
