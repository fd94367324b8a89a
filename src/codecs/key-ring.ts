import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { ConfigurationError, CryptoError } from '../errors.ts';

const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** The id of the key that the environment gives. */
const ENVIRONMENT_KEY = 'default';
const KEY_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * The keys of a store, by their ids: `primary` names the one that encrypts, the others only decrypt. A key is base64 of 32
 * bytes, as `generateKey()` makes them.
 */
export interface Keys {
  readonly primary: string;
  /** Undefined, as of an environment variable that is not set, is refused. */
  readonly [id: string]: string | undefined;
}

/** Makes a key for the `keys` of a store, or for TW_ENCRYPTION_KEY: 32 random bytes in base64. To be kept: what it encrypts is lost without it. */
export const generateKey = (): string => randomBytes(KEY_BYTES).toString('base64');

/** Bytes and the key that they were encrypted with. */
export interface Sealed {
  readonly keyId: string;
  /** Nonce (12 bytes), ciphertext, tag (16 bytes). */
  readonly bytes: Buffer;
}

/** AES-256-GCM under several keys. Shows none of them when it is printed. */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #primary: string | undefined;

  private constructor(keys: ReadonlyMap<string, KeyObject>, primary: string | undefined) {
    this.#keys = keys;
    this.#primary = primary;
  }

  /**
   * The ring of these keys, and of TW_ENCRYPTION_KEY under the id `default`, which is the primary one when no keys are
   * given.
   *
   * @throws ConfigurationError for a key that is not base64 of 32 bytes, a bad id, or a primary that is missing.
   */
  static of(keys: Keys | undefined, environmentKey: string | undefined): KeyRing {
    const ring = new Map<string, KeyObject>();
    if (environmentKey) ring.set(ENVIRONMENT_KEY, readKey(environmentKey, 'TW_ENCRYPTION_KEY'));
    if (!keys) return new KeyRing(ring, environmentKey ? ENVIRONMENT_KEY : undefined);
    const { primary, ...given } = keys;
    for (const [id, key] of Object.entries(given)) {
      if (!KEY_ID.test(id))
        throw new ConfigurationError('keys: an id is 1 to 64 letters, digits, hyphens and underscores');
      const read = readKey(key, `keys.${id}`);
      if (ring.get(id)?.equals(read) === false)
        throw new ConfigurationError(
          `keys.${id} is another key than TW_ENCRYPTION_KEY, whose id it has: give it another id`,
        );
      ring.set(id, read);
    }
    if (!Object.hasOwn(given, primary))
      throw new ConfigurationError('keys: primary is the id of one of the keys that are given');
    return new KeyRing(ring, primary);
  }

  /** The id of the key that encrypts; undefined when there is none. */
  get primary(): string | undefined {
    return this.#primary;
  }

  has(keyId: string): boolean {
    return this.#keys.has(keyId);
  }

  /** @throws CryptoError `no_key`. */
  seal(plain: Uint8Array, context: string): Sealed {
    const key = this.#primary === undefined ? undefined : this.#keys.get(this.#primary);
    if (this.#primary === undefined || !key) throw new CryptoError('no_key', null);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(Buffer.from(context));
    const bytes = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    return { keyId: this.#primary, bytes };
  }

  /** @throws CryptoError; `place` says in it where the secret stands. */
  open({ keyId, bytes }: Sealed, context: string, place: string): Buffer {
    if (!this.#keys.size) throw new CryptoError('no_key', place);
    const key = this.#keys.get(keyId);
    if (!key) throw new CryptoError('unknown_key', place, keyId);
    const plain = decrypt(key, bytes, context);
    if (!plain) throw new CryptoError('not_authentic', place, keyId);
    return plain;
  }

  /** Decrypts what names no key and has no context, by whichever key fits: the tag tells. @throws CryptoError */
  openUnnamed(bytes: Buffer, place: string): Buffer {
    if (!this.#keys.size) throw new CryptoError('no_key', place);
    for (const key of this.#keys.values()) {
      const plain = decrypt(key, bytes, '');
      if (plain) return plain;
    }
    throw new CryptoError('not_authentic', place);
  }
}

/** Undefined when the key does not fit, or the bytes or the context are not those that were encrypted. */
function decrypt(key: KeyObject, bytes: Buffer, context: string): Buffer | undefined {
  if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(context))
    .setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined;
  }
}

function readKey(text: string | undefined, name: string): KeyObject {
  if (typeof text !== 'string')
    throw new ConfigurationError(`${name} is missing: is the environment variable set that it is read from?`);
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what is not base64: a key with a slip in it must not become another key
  const same = bytes.toString('base64').replace(/=+$/, '') === text.trim().replace(/=+$/, '');
  if (bytes.length !== KEY_BYTES || !same)
    throw new ConfigurationError(`${name} is not base64 of ${KEY_BYTES} bytes: generateKey() makes such a key`);
  return createSecretKey(bytes);
}
