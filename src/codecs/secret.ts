import { inspect } from 'node:util';
import { ValidationError } from '../errors.ts';

/** What stands in place of a secret wherever one is printed. */
export const REDACTED = '[redacted]';

/** Known to every copy of the package, so that the CommonJS and the ES module build take each other's secrets. */
const BRAND = Symbol.for('@triage-warden/db/secret');

/**
 * A text that is stored encrypted, and shown nowhere: `String()`, `JSON.stringify` and `console.log` print `[redacted]`. Made
 * by `secret()`, or read from the database.
 */
export class Secret {
  readonly #reveal: () => string;

  /** @internal */
  constructor(reveal: () => string) {
    this.#reveal = reveal;
  }

  /**
   * The text itself. One that was read is decrypted now.
   *
   * @throws CryptoError when the key is missing or does not fit, or the stored text was changed or moved.
   */
  reveal(): string {
    return this.#reveal();
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  /** @internal */
  get [BRAND](): true {
    return true;
  }

  /** @internal */
  [inspect.custom](): string {
    return REDACTED;
  }
}

/**
 * Marks a text as a secret, at any depth of a connector's or channel's `config` or of a setting: it is stored encrypted.
 *
 * @example
 * await store.connectors.create({ name: 'VT', connectorType: 'virus_total', config: { api_key: secret(key) } })
 *
 * @throws ValidationError when it is not a string, or has a lone surrogate, which UTF-8 cannot hold.
 */
export function secret(text: string): Secret {
  if (typeof text !== 'string' || !text.isWellFormed())
    throw new ValidationError([{ path: 'secret', message: 'is not a well-formed string' }]);
  return new Secret(() => text);
}

export const isSecret = (value: unknown): value is Secret =>
  typeof value === 'object' && value !== null && BRAND in value && value[BRAND] === true;
