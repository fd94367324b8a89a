import type { UserRole } from './values.ts';

/** A row of `users`. */
export interface User {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  /** An Argon2 PHC string. */
  readonly passwordHash: string;
  readonly role: UserRole;
  readonly displayName: string | null;
  readonly enabled: boolean;
  readonly lastLoginAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of `sessions`. */
export interface Session {
  readonly id: string;
  readonly data: Uint8Array;
  /** Unix time in seconds. */
  readonly expiryDate: number;
}

/** A row of `api_keys`. */
export interface ApiKey {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  /** SHA-256 of the key, hexadecimal. */
  readonly keyHash: string;
  /** The key's first 8 characters. */
  readonly keyPrefix: string;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | null;
  readonly lastUsedAt: Date | null;
  readonly createdAt: Date;
}
