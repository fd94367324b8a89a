/**
 * Secrets inside JSON. Stored, a secret is the object `{"$secret":"v1:<key id>:<base64url of nonce, ciphertext, tag>"}`, bound
 * to its table, column, row and path: moved anywhere else, it does not decrypt. What Triage Warden's Rust services wrote is read
 * too: the string `enc:` and base64 of nonce, ciphertext and tag, which is bound to nothing.
 */
import { CryptoError } from '../errors.ts';
import { joinPath } from './json.ts';
import { stringValues } from './json-scan.ts';
import type { KeyRing } from './key-ring.ts';
import { isSecret, Secret } from './secret.ts';

/** The value of a JSON column, and where it stands. */
export interface Place {
  readonly table: string;
  readonly column: string;
  /** The row's key. */
  readonly id: string;
}

type Path = readonly (string | number)[];

const MEMBER = '$secret';
const ENVELOPE = /^v1:([A-Za-z0-9_-]{1,64}):([A-Za-z0-9_-]+)$/;
const LEGACY = /^enc:([A-Za-z0-9+/]{38,}={0,2})$/;

/** Where a secret that was read came from. */
const origins = new WeakMap<Secret, { readonly context: string; readonly envelope: string }>();

const contextOf = ({ table, column, id }: Place, path: Path) => JSON.stringify([table, column, id, ...path]);

export const placeText = ({ table, column, id }: Place, path: Path = []) =>
  `${table}.${column} of ${id}${path.length ? ` at ${joinPath('', path)}` : ''}`;

/** Whether a string would be read as a secret of the Rust services. */
export const looksSealed = (text: string) => LEGACY.test(text);

/** Whether an object would be read as a secret. */
export const isEnvelope = (value: object): value is { readonly [MEMBER]: string } => {
  const keys = Object.keys(value);
  return keys.length === 1 && keys[0] === MEMBER && typeof (value as Record<string, unknown>)[MEMBER] === 'string';
};

/** A copy of a value with every secret encrypted. The value is known to be JSON but for its secrets. @throws CryptoError */
export function seal(value: unknown, place: Place, keys: KeyRing, path: Path = []): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (isSecret(value)) return sealOne(value, place, keys, path);
  if (Array.isArray(value)) return value.map((member, i) => seal(member, place, keys, [...path, i]));
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, seal(member, place, keys, [...path, key])]),
  );
}

function sealOne(secret: Secret, place: Place, keys: KeyRing, path: Path): unknown {
  const context = contextOf(place, path);
  const origin = origins.get(secret);
  const keyId = origin && ENVELOPE.exec(origin.envelope)?.[1];
  // written back where it was read: as it is, unless the key was changed since; also when its key is not known here
  if (keyId !== undefined && origin?.context === context && (keyId === keys.primary || !keys.has(keyId)))
    return { [MEMBER]: origin.envelope };
  return { [MEMBER]: envelopeOf(secret.reveal(), place, keys, path) };
}

function envelopeOf(plain: string, place: Place, keys: KeyRing, path: Path): string {
  if (keys.primary === undefined) throw new CryptoError('no_key', placeText(place, path));
  const { keyId, bytes } = keys.seal(Buffer.from(plain), contextOf(place, path));
  return `v1:${keyId}:${bytes.toString('base64url')}`;
}

/** What was read, with every secret in it as a `Secret`. Changes `value`, which nobody else has yet. */
export function unseal(value: unknown, place: Place, keys: KeyRing, path: Path = []): unknown {
  if (typeof value === 'string') return looksSealed(value) ? secretOf(value, place, keys, path) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = unseal(value[i], place, keys, [...path, i]);
    return value;
  }
  if (isEnvelope(value)) return secretOf(value, place, keys, path);
  for (const [key, member] of Object.entries(value)) {
    const open = unseal(member, place, keys, [...path, key]);
    if (open !== member) Object.defineProperty(value, key, { value: open }); // not by assignment: a key may be `__proto__`
  }
  return value;
}

/** What became of the secrets in a text. */
export interface Renewal {
  /** The text with the secrets that were encrypted anew; null when there were none. */
  readonly text: string | null;
  /** Why others could not be. */
  readonly failures: readonly CryptoError[];
}

/**
 * Encrypts anew what is under another key than the primary one, or in the old form. All else in the JSON text stays as it is, to
 * the last digit; so do secrets that cannot be decrypted.
 */
export function renewSealed(text: string, place: Place, keys: KeyRing): Renewal {
  const failures: CryptoError[] = [];
  let renewed = '';
  let copied = 0;
  for (const { value, path, start, end, alone } of stringValues(text)) {
    const isMember = alone && path.at(-1) === MEMBER; // the same objects that `isEnvelope` knows
    if (!isMember && !looksSealed(value)) continue;
    if (isMember && ENVELOPE.exec(value)?.[1] === keys.primary) continue;
    const at = isMember ? path.slice(0, -1) : path;
    try {
      const plain = secretOf(isMember ? { [MEMBER]: value } : value, place, keys, at).reveal();
      const envelope = envelopeOf(plain, place, keys, at);
      renewed += text.slice(copied, start) + JSON.stringify(isMember ? envelope : { [MEMBER]: envelope });
      copied = end;
    } catch (error) {
      if (!(error instanceof CryptoError)) throw error;
      failures.push(error);
    }
  }
  return { text: copied ? renewed + text.slice(copied) : null, failures };
}

function secretOf(stored: string | { readonly [MEMBER]: string }, place: Place, keys: KeyRing, path: Path): Secret {
  const where = placeText(place, path);
  if (typeof stored === 'string') {
    const bytes = Buffer.from(LEGACY.exec(stored)?.[1] ?? '', 'base64');
    return new Secret(() => keys.openUnnamed(bytes, where).toString());
  }
  const envelope = stored[MEMBER];
  const context = contextOf(place, path);
  const secret = new Secret(() => {
    const [, keyId, text = ''] = ENVELOPE.exec(envelope) ?? [];
    if (keyId === undefined) throw new CryptoError('malformed', where);
    return keys.open({ keyId, bytes: Buffer.from(text, 'base64url') }, context, where).toString();
  });
  origins.set(secret, { context, envelope });
  return secret;
}
