/**
 * The data of a session, encrypted: `\0tw1`, the length of the key's id, the id, then nonce, ciphertext and tag. It is bound to
 * the session's id. Data without that start is what another writer stored as it is, such as tower-sessions.
 */
import { CryptoError, ValidationError } from '../errors.ts';
import type { KeyRing } from './key-ring.ts';
import { placeText } from './sealed-json.ts';

const START = Buffer.from('\0tw1');

const placeOf = (id: string) => ({ table: 'sessions', column: 'data', id });
const contextOf = (id: string) => JSON.stringify(['sessions', 'data', id]);

/** @throws CryptoError `no_key`. */
export function sealSession(data: Uint8Array, id: string, keys: KeyRing): Buffer {
  const { keyId, bytes } = keys.seal(data, contextOf(id));
  return Buffer.concat([START, Buffer.from([keyId.length]), Buffer.from(keyId), bytes]);
}

/** Data that is stored as it is. @throws ValidationError when it would be read as encrypted. */
export function plainSession(data: Uint8Array): Uint8Array {
  if (isSealed(data))
    throw new ValidationError([{ path: 'data', message: 'starts like encrypted data, and would be read as such' }]);
  return data;
}

/** @throws CryptoError when it is encrypted and cannot be decrypted, or `required` and not encrypted. */
export function openSession(stored: Uint8Array, id: string, keys: KeyRing, required: boolean): Uint8Array {
  if (!isSealed(stored)) {
    if (required) throw new CryptoError('malformed', placeText(placeOf(id)));
    return owned(stored);
  }
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const end = START.length + 1 + (bytes[START.length] ?? 0);
  const sealed = { keyId: keyIdOf(bytes), bytes: bytes.subarray(end) };
  return owned(keys.open(sealed, contextOf(id), placeText(placeOf(id))));
}

/** Bytes that share no memory with others: a small Buffer of Node's may be a part of a larger one. A copy costs 3 µs. */
const owned = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array =>
  buffer.byteLength === byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength));

/** The id of the key that the data was encrypted with; undefined when it is not encrypted. */
export const sessionKeyId = (stored: Uint8Array): string | undefined =>
  isSealed(stored) ? keyIdOf(Buffer.from(stored)) : undefined;

// the first byte tells nearly always: this is done on every request
const isSealed = (bytes: Uint8Array) => bytes[0] === START[0] && START.equals(bytes.subarray(0, START.length));

const keyIdOf = (bytes: Buffer) =>
  bytes.subarray(START.length + 1, START.length + 1 + (bytes[START.length] ?? 0)).toString('latin1');
