import { z } from 'zod';
import { foldAscii } from '../codecs/fold-ascii.ts';
import { limitedText, optionalText, type Patch, tag, text, uuid } from './fields.ts';
import { USER_ROLES, type UserRole } from './values.ts';

/** A row of `users`, without the password's hash: only `users.credentials` reads that. */
export interface User {
  readonly id: string;
  /** As it was given; unique without regard to case. */
  readonly email: string;
  /** As it was given; unique without regard to case. */
  readonly username: string;
  readonly role: UserRole;
  readonly displayName: string | null;
  readonly enabled: boolean;
  /** Null until the first login. */
  readonly lastLoginAt: Date | null;
  readonly createdAt: Date;
  /** When the account was last edited: a login is no edit. */
  readonly updatedAt: Date;
}

/** A user, with the hash to check a password against. The hash is not enumerable: nothing prints or copies it by the way. */
export interface Credentials extends User {
  /** An Argon2 PHC string. */
  readonly passwordHash: string;
}

/** A user to be created: enabled unless it says otherwise. */
export interface NewUser {
  readonly id?: string | undefined;
  readonly email: string;
  readonly username: string;
  /** An Argon2 PHC string, such as `$argon2id$v=19$m=19456,t=2,p=1$…$…`. */
  readonly passwordHash: string;
  readonly role: UserRole;
  readonly displayName?: string | null | undefined;
  readonly enabled?: boolean | undefined;
}

/** What `update` changes: undefined keeps, null clears. The hash is set by `setPasswordHash`. */
export type UserPatch = Patch<Omit<NewUser, 'id' | 'passwordHash'>>;

/** A row of `sessions`. */
export interface Session {
  readonly id: string;
  /** As it was given, decrypted. */
  readonly data: Uint8Array;
  /** Unix time in seconds: from then on it is gone. */
  readonly expiryDate: number;
}

/** A session to be stored. */
export interface NewSession {
  /** 1 to 256 characters. */
  readonly id: string;
  readonly data: Uint8Array;
  /** When it expires: a Date, or Unix time in seconds. */
  readonly expiryDate: Date | number;
}

/** A row of `api_keys`, without the hash of the key. */
export interface ApiKey {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  /** How the key starts, to tell it from others. */
  readonly keyPrefix: string;
  /** What it may be used for; `*` is everything. */
  readonly scopes: readonly string[];
  /** From then on it is refused; null: never. */
  readonly expiresAt: Date | null;
  /** To the minute; null until it was used. */
  readonly lastUsedAt: Date | null;
  readonly createdAt: Date;
}

/** A key to be issued: without scopes, and for ever, unless it says otherwise. */
export interface NewApiKey {
  readonly id?: string | undefined;
  /** Its owner. */
  readonly userId: string;
  readonly name: string;
  readonly scopes?: readonly string[] | undefined;
  readonly expiresAt?: Date | null | undefined;
}

/** A key, and its token, which cannot be read again. The token is not enumerable: nothing prints or copies it by the way. */
export interface IssuedApiKey {
  readonly key: ApiKey;
  /** What the client sends: `tw_`, 6 letters or digits, `_`, 32 letters or digits. */
  readonly token: string;
}

/** A key that was shown to be right, and who it belongs to. */
export interface VerifiedApiKey {
  readonly key: ApiKey;
  readonly owner: User;
}

/**
 * A name as it is compared. The databases fold the case of ASCII letters; beyond those, names are stored folded already, so that
 * ASCII is all that is left to fold.
 */
export const foldName = (name: string): string =>
  name.normalize('NFKC').toLowerCase().normalize('NFKC').replaceAll('ς', 'σ');

const caseSafe = (name: string) => foldName(name) === foldAscii(name);
const CASE_RULE = 'has capital or compatibility letters beyond ASCII: write them in lower case (NFKC)';

const email = limitedText(320)
  .regex(/^[^\s@]+@[^\s@]+$/, 'is not an email address')
  .refine(caseSafe, CASE_RULE);
const username = limitedText(200)
  .regex(/^(?!\s)[^\p{C}]*(?<!\s)$/u, 'has white space at an end, or characters that do not show')
  .refine(caseSafe, CASE_RULE);

/** https://github.com/P-H-C/phc-string-format, of Argon2: salt of 8 bytes and hash of 12 bytes at least. */
const PHC =
  /^\$argon2(id|i|d)\$(v=\d+\$)?m=\d{1,10},t=\d{1,10},p=\d{1,8}(,keyid=[A-Za-z0-9+/]*)?(,data=[A-Za-z0-9+/]*)?\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}$/;
export const passwordHash = z.string().max(1000).regex(PHC, 'is not an Argon2 PHC string');

const account = {
  email,
  username,
  role: z.enum(USER_ROLES),
  displayName: optionalText(200),
  enabled: z.boolean().optional(),
};
export const newUser = z.strictObject({ id: uuid.optional(), passwordHash, ...account });
export const userPatch = z.strictObject(account).partial();
export const newAdmin = z.strictObject({
  id: uuid.optional(),
  passwordHash,
  email,
  username,
  displayName: optionalText(200),
});

/** What someone types to log in, or is looked for by: any text. */
export const accountName = text.min(1).max(320);

export const sessionId = limitedText(256);
/** The last second of the year 9999: a number beyond it is in milliseconds, by mistake. */
const LATEST = 253_402_300_799;
const unixSeconds = z
  .union([
    z.date().transform((date) => Math.floor(date.getTime() / 1000)),
    z
      .number()
      .int('is not whole Unix seconds')
      .max(LATEST, 'is beyond the year 9999: Unix time in seconds, not milliseconds'),
  ])
  .pipe(z.number().min(0).max(LATEST));
export const newSession = z.strictObject({
  id: sessionId,
  data: z.instanceof(Uint8Array, { error: 'is not a Uint8Array' }),
  expiryDate: unixSeconds,
});
export const sessionExpiry = unixSeconds;

export const newApiKey = z.strictObject({
  id: uuid.optional(),
  userId: uuid,
  name: limitedText(200),
  scopes: z.array(tag).max(200).optional(),
  expiresAt: z.date().nullish(),
});
