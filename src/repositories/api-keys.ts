import { createHash, randomInt, timingSafeEqual } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Values } from '../driver/statement.ts';
import { ConflictError, NotFoundError } from '../errors.ts';
import {
  type ApiKey,
  type IssuedApiKey,
  type NewApiKey,
  newApiKey,
  type VerifiedApiKey,
} from '../model/authentication.ts';
import { tag, uuid } from '../model/fields.ts';
import { parse, parseId } from '../model/parse.ts';
import { Conditions } from './conditions.ts';
import { type Context, json, newId } from './context.ts';
import { PlainRepository } from './plain-repository.ts';
import { ascending, descending } from './reader.ts';

/** Which API keys a list holds. */
export interface ApiKeyFilter {
  /** The owner's id. */
  readonly user?: string | undefined;
  /** Not expired and not revoked; false: only those that are. */
  readonly active?: boolean | undefined;
}

/** The orders of a list of API keys. */
export type ApiKeySort = 'newest' | 'oldest';

/** What a token must be good for. */
export interface VerifyOptions {
  /** A scope that the key must have; a key with the scope `*` has every one. */
  readonly scope?: string;
}

/** What becomes of the old key. */
export interface RotateOptions {
  /** Milliseconds for which the old token is still taken: none by default. */
  readonly graceMs?: number | undefined;
}

const filterSchema = z.strictObject({ user: uuid.optional(), active: z.boolean().optional() });
/** A scope that is given counts: one that went missing on its way here must not mean that none is asked for. */
const verifyOptions = z.strictObject({ scope: z.exactOptional(tag) });
const rotateOptions = z.strictObject({ graceMs: z.number().int().min(0).max(31_536_000_000).default(0) });

/** Characters of a token that are stored, so that it is found; and those that Triage Warden's Rust services store. */
const PREFIX = 8;
const PREFIXES = [PREFIX, 9, 11] as const;
/** What may be a token at all: anything else never reaches the database. */
const TOKEN = /^[\x21-\x7e]{8,200}$/;

const prefixesOf = (token: string): Values =>
  Object.fromEntries(PREFIXES.map((length) => [`prefix${length}`, token.slice(0, length)]));

/** A use is recorded when the one before it is this old. */
const USED_EVERY_MS = 60_000;

/**
 * The API keys. Only a token's SHA-256 and its first characters are stored: the token is answered once, when it is issued. No
 * read answers the hash.
 */
export class ApiKeys extends PlainRepository<'apiKeys', ApiKeyFilter, ApiKeySort> {
  /** @internal */
  protected readonly neverLags = true;
  /** @internal */
  protected readonly sorts = { newest: descending('createdAt'), oldest: ascending('createdAt') };

  /**
   * Issues a key to a user, and answers its token: keep it now, it cannot be read again.
   *
   * @throws ForeignKeyError when the user does not exist; ValidationError.
   */
  async issue(key: NewApiKey): Promise<IssuedApiKey> {
    const { id = newId(), userId, name, scopes = [], expiresAt = null } = parse(newApiKey, key);
    const token = newToken();
    const issued = await this.insert({
      id,
      userId,
      name,
      keyHash: hashOf(token),
      keyPrefix: token.slice(0, PREFIX),
      scopes: json(this.cx, [...new Set(scopes)], 'scopes'),
      expiresAt,
      lastUsedAt: null,
      createdAt: this.cx.settings.now(),
    });
    // not enumerable: no log, JSON or copy of the answer takes it along
    return Object.defineProperty({ key: issued } as IssuedApiKey, 'token', { value: token });
  }

  /**
   * Checks a token: answers its key and its owner, or null, the same for a token that is unknown, expired or revoked, whose owner
   * is disabled, or that lacks the scope. The use is recorded, to the minute; nobody waits for that, and a token stays right when it
   * fails. In a transaction, it is a part of it.
   */
  async verify(token: string, options?: VerifyOptions): Promise<VerifiedApiKey | null> {
    const { scope } = options === undefined ? {} : parse(verifyOptions, options, 'options');
    if (typeof token !== 'string' || !TOKEN.test(token)) return null;
    const { decoders, driver, settings } = this.cx;
    const { rows } = await driver.exec(this.#candidates().query(prefixesOf(token)));
    const hash = Buffer.from(hashOf(token));
    let found: readonly unknown[] | undefined;
    for (const row of rows) {
      const stored = Buffer.from(String(row[0]));
      // all of them, each in constant time: how long it takes tells nothing of which one is near
      if (stored.length === hash.length && timingSafeEqual(stored, hash)) found = row;
    }
    if (!found) return null;
    const width = decoders.columnKeys('apiKeys').length;
    const key = decoders.of('apiKeys')(found.slice(1, 1 + width));
    const owner = decoders.of('users')(found.slice(1 + width));
    const now = settings.now();
    const refused =
      !owner.enabled ||
      (key.expiresAt !== null && key.expiresAt <= now) ||
      (scope !== undefined && !key.scopes.includes(scope) && !key.scopes.includes('*'));
    if (refused) return null;
    await this.#recordUse(key, now);
    return { key, owner };
  }

  /**
   * Revokes a key: from now on its token is refused. The row stays, as one that has expired.
   *
   * @throws NotFoundError.
   */
  async revoke(id: string): Promise<ApiKey> {
    const key = parseId(id);
    return (await this.#expire(key, this.cx.settings.now())) ?? this.current(key);
  }

  /** Removes a key and every trace of it; answers whether it was there. */
  async delete(id: string): Promise<boolean> {
    return this.remove(parseId(id));
  }

  /**
   * Issues a new key like this one, and revokes this one, at once or after a time: both, or none of it.
   *
   * @throws NotFoundError; ConflictError when it was revoked, expires by then anyway, or was rotated: when a newer key of this owner has its name
   * and lives longer.
   */
  async rotate(id: string, options: RotateOptions = {}): Promise<IssuedApiKey> {
    const key = parseId(id);
    const { graceMs } = parse(rotateOptions, options);
    return this.cx.driver.transaction(async (driver) => {
      const cx: Context = { ...this.cx, driver, inTransaction: true };
      const keys = new ApiKeys(cx, 'apiKeys');
      const before = await keys.#locked(key); // so that of several who rotate it, the others see that it was
      if (before.expiresAt && (await keys.#hasSuccessor(before)))
        throw new ConflictError(this.tableName, key, 'it was rotated already: a newer key of this name lives longer');
      if (!(await keys.#expire(key, new Date(cx.settings.now().getTime() + graceMs))))
        throw new ConflictError(this.tableName, key, 'it was revoked or rotated, or expires by then');
      const { userId, name, scopes, expiresAt } = before;
      return keys.issue({ userId, name, scopes, expiresAt });
    });
  }

  /** @internal */
  protected conditions(filter: ApiKeyFilter): Conditions {
    const { user, active } = parse(filterSchema, filter, 'filter');
    const { dialect } = this.cx;
    const { userId, expiresAt } = this.table;
    const conditions = new Conditions(dialect).oneOf(userId, user);
    if (active === undefined) return conditions;
    const expired = () => dialect.notAfter(expiresAt, dialect.value(expiresAt, 'now'));
    return conditions.add(
      active ? 'active' : 'inactive',
      () =>
        active ? sql`(${expiresAt} is null or not ${expired()})` : sql`(${expiresAt} is not null and ${expired()})`,
      { now: this.cx.settings.now() },
    );
  }

  /** The keys, with their hashes and owners, whose tokens start as one does. */
  #candidates() {
    const { dialect } = this.cx;
    const { users } = dialect.tables;
    const { keyHash, keyPrefix, userId } = this.table;
    const select = () => {
      const ownerColumns = this.cx.decoders.columnKeys('users').map((key) => sql`${users[key as 'id']}`);
      return sql`select ${keyHash}, ${this.columns()}, ${sql.join(ownerColumns, sql`, `)} from ${this.table} inner join ${users} on ${users.id} = ${userId} where ${keyPrefix} in (${sql.join(
        PREFIXES.map((length) => dialect.value(keyPrefix, `prefix${length}`)),
        sql`, `,
      )})`;
    };
    return this.readFresh('candidates', select, { byKey: true });
  }

  /** Lets a key expire at a time; null when it expires by then anyway. */
  #expire(id: string, at: Date): Promise<ApiKey | null> {
    const { dialect } = this.cx;
    const { expiresAt } = this.table;
    return this.change(id, {
      name: 'expire',
      set: { expiresAt: dialect.value(expiresAt, 'at') },
      values: { at },
      where: sql`(${expiresAt} is null or not ${dialect.notAfter(expiresAt, dialect.value(expiresAt, 'at'))})`,
    });
  }

  async #locked(id: string): Promise<ApiKey> {
    const lock = this.write(
      'lock',
      () =>
        sql`select ${this.columns()} from ${this.table} where ${this.byId(this.table)}${this.cx.dialect.forUpdate()}`,
    );
    const [key] = this.decodeAll(await this.cx.driver.exec(lock.query({ id })));
    if (!key) throw new NotFoundError(this.tableName, id);
    return key;
  }

  /** Whether its expiry may be the end of a rotation's grace: the new key would have it too, and be refused when that ends. */
  async #hasSuccessor({ id, userId, name, createdAt, expiresAt }: ApiKey): Promise<boolean> {
    const keys = await this.listAll(this.conditions({ user: userId }), 'newest');
    return keys.some(
      (other) =>
        other.id !== id &&
        other.name === name &&
        other.createdAt >= createdAt &&
        (!other.expiresAt || (expiresAt !== null && other.expiresAt > expiresAt)),
    );
  }

  async #recordUse(key: ApiKey, now: Date): Promise<void> {
    const due = new Date(now.getTime() - USED_EVERY_MS);
    // one that a clock ahead of ours has left blocks nothing
    if (key.lastUsedAt && key.lastUsedAt > due && key.lastUsedAt <= now) return;
    const { dialect, inTransaction } = this.cx;
    const { lastUsedAt } = this.table;
    const recorded = this.change(key.id, {
      name: 'use',
      set: { lastUsedAt: dialect.value(lastUsedAt, 'now') },
      values: { now, due },
      where: sql`(${lastUsedAt} is null or ${dialect.notAfter(lastUsedAt, dialect.value(lastUsedAt, 'due'))} or not ${dialect.notAfter(lastUsedAt, dialect.value(lastUsedAt, 'now'))})`,
    });
    if (inTransaction) await recorded;
    else recorded.catch(() => {}); // a login does not wait behind other writers, nor fail with them
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';
const random = (length: number) => Array.from({ length }, () => LETTERS[randomInt(LETTERS.length)]).join('');
const newToken = () => `tw_${random(6)}_${random(32)}`;
const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');
