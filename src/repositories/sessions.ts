import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { plainSession, sealSession } from '../codecs/session-data.ts';
import type { Values } from '../driver/statement.ts';
import { CryptoError, NotFoundError } from '../errors.ts';
import { type NewSession, newSession, type Session, sessionExpiry, sessionId } from '../model/authentication.ts';
import { isStorable, limitedText, uuid } from '../model/fields.ts';
import { parse } from '../model/parse.ts';
import { Conditions } from './conditions.ts';
import { PlainRepository } from './plain-repository.ts';
import { ascending, descending } from './reader.ts';

/** Which sessions a list holds. Expired ones are never in it. */
export interface SessionFilter {
  /** How the id starts, exactly. */
  readonly idPrefix?: string | undefined;
}

/** The orders of a list of sessions: by their expiry, or their id. */
export type SessionSort = 'expiring_first' | 'expiring_last' | 'id';

const filterSchema = z.strictObject({ idPrefix: limitedText(256).optional() });

/**
 * The sessions of logged-in users: bytes in, bytes out; encrypted when the store has keys. One that has expired is gone for
 * every read, also before `deleteExpired` removes it.
 */
export class Sessions extends PlainRepository<'sessions', SessionFilter, SessionSort> {
  /** @internal */
  protected readonly neverLags = true;
  /** @internal */
  protected readonly sorts = {
    expiring_first: ascending('expiryDate'),
    expiring_last: descending('expiryDate'),
    id: ascending(),
  };

  /** The same as `find`: null when there is none, or it has expired. @throws CryptoError when it cannot be decrypted. */
  load(id: string): Promise<Session | null> {
    return this.find(id);
  }

  /** Stores a new session. @throws UniqueError when the id is taken, also by one that has expired; ValidationError. */
  async create(session: NewSession): Promise<Session> {
    return this.insert(this.#encode(session));
  }

  /** Stores a session, in place of the one with this id if there is one. @throws ValidationError */
  async save(session: NewSession): Promise<Session> {
    const values = this.#encode(session);
    const { data, expiryDate } = this.table;
    const save = this.write(
      'save',
      () =>
        sql`${this.insertSql()} on conflict (${sql.identifier('id')}) do update set ${sql.identifier(data.name)} = excluded.data, ${sql.identifier(expiryDate.name)} = excluded.expiry_date`,
    );
    await this.cx.driver.exec(save.query(values));
    return this.fresh(values);
  }

  /** Lets a session live until then. @throws NotFoundError when there is none, or it has expired; ValidationError. */
  async touch(id: string, expiryDate: Date | number): Promise<void> {
    const key = this.parseKey(id);
    const { dialect, driver } = this.cx;
    const { expiryDate: column } = this.table;
    const touch = this.write(
      'touch',
      () =>
        sql`update ${this.table} set ${sql.identifier(column.name)} = ${dialect.value(column, 'expiry')} where ${this.byId(this.table)} and ${this.#alive()}`,
    );
    const values = { id: key, expiry: parse(sessionExpiry, expiryDate, 'expiryDate'), now: this.#now() };
    if (!(await driver.exec(touch.query(values))).count) throw new NotFoundError(this.tableName, key);
  }

  /** Ends a session; answers whether it was stored. */
  async delete(id: string): Promise<boolean> {
    return this.remove(this.parseKey(id));
  }

  /** Removes those that have expired, a batch at a time; answers how many there were. */
  async deleteExpired(): Promise<number> {
    const { dialect, driver } = this.cx;
    const { id, expiryDate } = this.table;
    const remove = this.write(
      'deleteExpired',
      () =>
        // the time again, for PostgreSQL: one that is renewed while this waits for its row stays
        sql`delete from ${this.table} where ${id} in (select ${id} from ${this.table} where ${expiryDate} <= ${dialect.value(expiryDate, 'now')} limit ${dialect.limit('limit')}) and ${expiryDate} <= ${dialect.value(expiryDate, 'now')}`,
    );
    const now = this.#now();
    let removed = 0;
    for (let batch = BATCH; batch === BATCH; removed += batch)
      batch = (await driver.exec(remove.query({ now, limit: BATCH }))).count;
    return removed;
  }

  /** Removes all whose id starts like this, expired ones too; answers how many there were. */
  async deleteByPrefix(idPrefix: string): Promise<number> {
    const prefix = parse(limitedText(256), idPrefix, 'idPrefix');
    const remove = this.write('deleteByPrefix', () => sql`delete from ${this.table} where ${this.#startsWith()}`);
    return (await this.cx.driver.exec(remove.query({ prefix, length: [...prefix].length }))).count;
  }

  /**
   * Ends all sessions of a user, such as after a change of the password; answers how many there were. Whose a session is stands
   * in its data, so every session is read: by `isOf`, or else by the members `user_id`, `userId` and passport's `user`, at any
   * depth, of the data that express-session and tower-sessions store.
   *
   * @throws CryptoError when the data of a session cannot be decrypted: of the first one, after all others were looked at.
   */
  async deleteForUser(userId: string, isOf?: (session: Session) => boolean): Promise<number> {
    const wanted = isOf ? userId : parse(uuid, userId, 'userId');
    const { belongsTo } = await import('../interop/session-user.ts');
    const matches = isOf ?? ((session: Session) => belongsTo(session, wanted));
    const { driver, decoders } = this.cx;
    const ids = this.read('ids', () => sql`select ${this.table.id} from ${this.table} where ${this.#alive()}`);
    const select = () => sql`select ${this.columns()} from ${this.table} where ${this.byId(this.table)}`;
    const row = this.read('one', select, { byKey: true });
    let removed = 0;
    let unreadable: { readonly error: unknown } | undefined;
    for (const [id] of (await driver.exec(ids.query({ now: this.#now() }))).rows) {
      const [stored] = (await driver.exec(row.query({ id: String(id) }))).rows;
      if (!stored) continue; // it ended meanwhile
      try {
        if (matches(decoders.of('sessions')(stored))) removed += Number(await this.delete(String(id)));
      } catch (error) {
        if (!(error instanceof CryptoError)) throw error;
        unreadable ??= { error };
      }
    }
    if (unreadable) throw unreadable.error;
    return removed;
  }

  /** The store's clock, for those who work out an expiry. @internal */
  now(): Date {
    return this.cx.settings.now();
  }

  /** @internal */
  protected override parseKey(id: string): string {
    // by hand what the schema checks, on every request; the schema says what is wrong
    return typeof id === 'string' && id && id.length <= 256 && isStorable(id) ? id : parse(sessionId, id, 'id');
  }

  /** @internal */
  protected conditions(filter: SessionFilter): Conditions {
    const { idPrefix } = parse(filterSchema, filter, 'filter');
    const alive = this.visible();
    if (idPrefix === undefined) return alive;
    return alive.add('prefix', () => this.#startsWith(), { prefix: idPrefix, length: [...idPrefix].length });
  }

  /** @internal */
  protected override visible(): Conditions {
    return new Conditions(this.cx.dialect).add('alive', () => this.#alive(), { now: this.#now() });
  }

  #alive() {
    return sql`${this.table.expiryDate} > ${this.cx.dialect.value(this.table.expiryDate, 'now')}`;
  }

  #startsWith() {
    const { dialect } = this.cx;
    const { id, expiryDate } = this.table;
    return sql`substr(${id}, 1, cast(${dialect.value(expiryDate, 'length')} as integer)) = ${dialect.value(id, 'prefix')}`;
  }

  #now(): number {
    return Math.floor(this.now().getTime() / 1000);
  }

  #encode(session: NewSession): Values {
    const { id, data, expiryDate } = parse(newSession, session);
    const { keys, sessionEncryption } = this.cx.settings;
    return { id, data: sessionEncryption === 'off' ? plainSession(data) : sealSession(data, id, keys), expiryDate };
  }
}

/** Rows that one statement removes at most, so that it holds no lock for long. */
const BATCH = 1000;
