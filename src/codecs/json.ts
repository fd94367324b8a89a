import { ValidationError } from '../errors.ts';
import { scanJson } from './json-scan.ts';
import { isSecret } from './secret.ts';

/** How large a JSON value may be. */
export interface JsonLimits {
  /** Bytes of UTF-8, by default 16 MiB. */
  readonly maxBytes: number;
  /** Levels of arrays and objects, by default 128. */
  readonly maxDepth: number;
}

export const JSON_LIMITS: JsonLimits = { maxBytes: 16 * 1024 * 1024, maxDepth: 128 };

/** JSON as text, known to be well-formed: what goes into a JSON column. Made by `rawJson` or by `encodeJson`. */
export class RawJson {
  /** @internal */
  constructor(
    /** The JSON text. Numbers stand as they were given, with every digit. */
    readonly text: string,
    /** Levels of arrays and objects in it. */
    readonly depth: number,
    /** An object in it has a key twice: JSON.parse and jsonb would drop all but the last. */
    readonly duplicateKeys: boolean,
  ) {}

  toJSON(): unknown {
    return JSON.parse(this.text);
  }
}

/**
 * Takes a JSON text as it is, so that what JavaScript's numbers and objects cannot hold survives: integers beyond 2^53,
 * `1.0`, duplicate keys. Strings are rewritten to JSON's shortest escapes, so that a search finds them.
 *
 * @throws ValidationError when the text is not JSON, or a number's exponent is beyond ±1000.
 */
export function rawJson(text: string): RawJson {
  try {
    JSON.parse(text);
  } catch {
    // no cause: the engine's message quotes the text
    throw new ValidationError([{ path: '', message: 'is not JSON' }]);
  }
  const { normalized, depth, duplicateKeys } = scanJson(text);
  return new RawJson(normalized, depth, duplicateKeys);
}

/**
 * Writes a value as JSON text, and refuses all that would not come back equal. An `undefined` member is left out, as
 * JSON.stringify does; `-0` is written as 0.
 *
 * @throws ValidationError with the path: NaN, Infinity, BigInt, undefined in an array, functions, symbols, cycles,
 * objects that are not plain (Date, Map, class instances), and what is beyond a limit.
 */
export function encodeJson(value: unknown, path: string, limits: JsonLimits = JSON_LIMITS): RawJson {
  if (value instanceof RawJson) {
    if (value.depth > limits.maxDepth) throw refusal(path, [], tooDeep(limits));
    return sized(value, path, limits);
  }
  const depth = new Walk(path, limits).check(value);
  return sized(new RawJson(JSON.stringify(value), depth, false), path, limits);
}

/** Reads JSON text. Rows are full of empty lists and objects, for which no parser is needed. @throws SyntaxError */
export const parseJson = (text: string): unknown => (text === '[]' ? [] : text === '{}' ? {} : JSON.parse(text));

/** What a column that stores secrets does with them. */
export interface SecretRules {
  /** Why a text cannot be stored as it is; null when it can. */
  refuseText(text: string): string | null;
  /** Likewise for an object that holds no secret itself. */
  refuseObject(value: object): string | null;
  /** The value with every secret in it encrypted. */
  seal(value: unknown): unknown;
}

/** `encodeJson` for a column that stores secrets, which stand in the value as `Secret`. */
export function encodeSecretJson(value: unknown, path: string, limits: JsonLimits, secrets: SecretRules): RawJson {
  if (value instanceof RawJson) throw refusal(path, [], 'is raw JSON, which this column does not take');
  const walk = new Walk(path, limits, secrets);
  const depth = walk.check(value);
  return sized(
    new RawJson(JSON.stringify(walk.foundSecret ? secrets.seal(value) : value), depth + 1, false),
    path,
    limits,
  );
}

function sized(json: RawJson, path: string, { maxBytes }: JsonLimits): RawJson {
  // a UTF-16 code unit is at most three bytes of UTF-8
  if (json.text.length * 3 > maxBytes && Buffer.byteLength(json.text) > maxBytes)
    throw refusal(path, [], `is larger than ${maxBytes} bytes`);
  return json;
}

/** One look at every part of a value, before anything is written. */
class Walk {
  readonly #trail: (string | number)[] = [];
  readonly #ancestors: object[] = [];
  #deepest = 0;
  foundSecret = false;

  constructor(
    private readonly path: string,
    private readonly limits: JsonLimits,
    private readonly secrets?: SecretRules,
  ) {}

  /** Returns how deep the value is; throws at the first part that JSON cannot hold. */
  check(value: unknown): number {
    this.#visit(value);
    return this.#deepest;
  }

  #visit(value: unknown): void {
    switch (typeof value) {
      case 'string':
        this.#allow(this.secrets?.refuseText(value));
        return;
      case 'boolean':
        return;
      case 'number':
        if (!Number.isFinite(value)) throw this.#refuse('is not a finite number, which JSON cannot hold');
        return;
      case 'object':
        if (value !== null) this.#visitObject(value);
        return;
      case 'bigint':
        throw this.#refuse('is a BigInt, which JSON cannot hold: pass the text with rawJson()');
      default:
        throw this.#refuse(`is ${typeof value}, which JSON cannot hold`);
    }
  }

  #allow(refusal: string | null | undefined): void {
    if (refusal) throw this.#refuse(refusal);
  }

  #visitObject(value: object): void {
    if (isSecret(value)) {
      if (!this.secrets) throw this.#refuse('is a secret, which this column does not store');
      this.foundSecret = true;
      return;
    }
    if (this.#ancestors.includes(value)) throw this.#refuse('refers to itself');
    if (this.#ancestors.length >= this.limits.maxDepth) throw this.#refuse(tooDeep(this.limits));
    this.#ancestors.push(value);
    if (this.#ancestors.length > this.#deepest) this.#deepest = this.#ancestors.length;
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) this.#enter(i, value[i]);
    } else {
      const prototype = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null && !isForeignPlain(prototype))
        throw this.#refuse('is not a plain object: convert it first');
      if ('toJSON' in value && typeof value.toJSON === 'function')
        throw this.#refuse('has a method toJSON: convert it first');
      this.#allow(this.secrets?.refuseObject(value));
      for (const key of Object.keys(value)) {
        const member = (value as Record<string, unknown>)[key];
        if (member !== undefined) this.#enter(key, member);
      }
    }
    this.#ancestors.pop();
  }

  #enter(key: string | number, value: unknown): void {
    this.#trail.push(key);
    this.#visit(value);
    this.#trail.pop();
  }

  #refuse(message: string): ValidationError {
    return refusal(this.path, this.#trail, message);
  }
}

/** A plain object of another realm (vm contexts, some test runners) has another Object.prototype. */
const isForeignPlain = (prototype: object) =>
  Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty');

const tooDeep = ({ maxDepth }: JsonLimits) => `is nested deeper than ${maxDepth} levels`;

const refusal = (path: string, trail: readonly (string | number)[], message: string) =>
  new ValidationError([{ path: joinPath(path, trail), message }]);

/** `a`, ['b', 3, 'c-d'] → `a.b[3]["c-d"]` */
export function joinPath(start: string, trail: readonly PropertyKey[]): string {
  let path = start;
  for (const key of trail) {
    if (typeof key === 'number') path += `[${key}]`;
    else if (/^[A-Za-z_$][\w$]*$/.test(String(key))) path += path ? `.${String(key)}` : String(key);
    else path += `[${JSON.stringify(String(key))}]`;
  }
  return path;
}
