import { type Column, getTableColumns, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Values } from '../driver/statement.ts';
import { ConflictError } from '../errors.ts';
import {
  accountName,
  type Credentials,
  foldName,
  type NewUser,
  newAdmin,
  newUser,
  passwordHash,
  type User,
  type UserPatch,
  userPatch,
} from '../model/authentication.ts';
import { limitedText, oneOrMany } from '../model/fields.ts';
import { parse, parseId } from '../model/parse.ts';
import { USER_ROLES, type UserRole } from '../model/values.ts';
import { Conditions } from './conditions.ts';
import { CHANGED, updateOptions } from './configuration-repository.ts';
import { type Context, newId } from './context.ts';
import { PlainRepository } from './plain-repository.ts';
import { ascending, descending } from './reader.ts';

/** Which users a list holds. */
export interface UserFilter {
  readonly role?: UserRole | readonly UserRole[] | undefined;
  readonly enabled?: boolean | undefined;
  /**
   * A text that the username, the email address or the display name holds: without regard to the case of ASCII letters; `%`, `_`
   * and `\` mean themselves.
   */
  readonly search?: string | undefined;
}

/** The orders of a list of users. */
export type UserSort = 'username' | 'newest' | 'oldest';

/** The first admin of a new installation. */
export type NewAdmin = Omit<NewUser, 'role' | 'enabled'>;

const filterSchema = z.strictObject({
  role: oneOrMany(z.enum(USER_ROLES)).optional(),
  enabled: z.boolean().optional(),
  search: limitedText(320).optional(),
});

const LAST_ADMIN = 'it is the last enabled admin';

/**
 * The users. No read answers the password's hash but `credentials`. Email addresses and usernames are unique without regard to
 * case; the last enabled admin cannot be removed, disabled or demoted.
 */
export class Users extends PlainRepository<'users', UserFilter, UserSort> {
  /** @internal */
  protected readonly neverLags = true;
  /** @internal */
  protected readonly sorts = {
    username: ascending('username'),
    newest: descending('createdAt'),
    oldest: ascending('createdAt'),
  };

  /** @throws ValidationError before anything is written; UniqueError when the email address, the username or the id is taken. */
  async create(user: NewUser): Promise<User> {
    return this.#insert(parse(newUser, user));
  }

  /**
   * Changes what the patch names: undefined keeps, null clears. With `ifUpdatedAt`, only if the account was not edited since.
   * An empty patch writes nothing.
   *
   * @throws NotFoundError; UniqueError; ConflictError when it was edited after `ifUpdatedAt`, or it is the last enabled admin
   * and would be so no longer; ValidationError.
   */
  async update(id: string, patch: UserPatch, options: { readonly ifUpdatedAt?: Date | undefined } = {}): Promise<User> {
    const key = parseId(id);
    const { ifUpdatedAt } = parse(updateOptions, options);
    const checked = parse(userPatch, patch);
    const given = Object.fromEntries(Object.entries(checked).filter(([, value]) => value !== undefined));
    const demotes = (checked.role !== undefined && checked.role !== 'admin') || checked.enabled === false;
    return demotes
      ? this.#sparingLastAdmin(key, (users) => users.#edit(key, given, ifUpdatedAt))
      : this.#edit(key, given, ifUpdatedAt);
  }

  /**
   * Removes a user and, with it, its API keys; answers whether there was one. Its sessions stay: `sessions.deleteForUser`.
   *
   * @throws ConflictError when it is the last enabled admin.
   */
  async delete(id: string): Promise<boolean> {
    const key = parseId(id);
    return this.#sparingLastAdmin(key, (users) => users.remove(key));
  }

  /** Enables or disables an account. @throws NotFoundError; ConflictError when it is the last enabled admin. */
  async setEnabled(id: string, enabled: boolean): Promise<User> {
    return this.update(id, { enabled: parse(z.boolean(), enabled, 'enabled') });
  }

  /** Finds a user by the email address, without regard to case; null when there is none. */
  async findByEmail(email: string): Promise<User | null> {
    return this.#findByName('email', email);
  }

  /** Finds a user by the username, without regard to case; null when there is none. */
  async findByUsername(username: string): Promise<User | null> {
    return this.#findByName('username', username);
  }

  /**
   * Reads a user with the password's hash, for a login: the one read that answers it. By username or email address, without
   * regard to case; where one user's username is another's email address, the address counts. Null when there is none.
   * Whether the account is enabled is for the caller to look at.
   */
  async credentials(usernameOrEmail: string): Promise<Credentials | null> {
    const name = parse(accountName, usernameOrEmail, 'usernameOrEmail');
    const { driver } = this.cx;
    const { email, username, passwordHash } = this.table;
    const byEmail = () => sql.join([...this.#names(email)], sql` or `);
    const statement = this.readFresh(
      'credentials',
      () =>
        sql`select ${this.columns()}, ${passwordHash} from ${this.table} where ${this.#isNamed(email, username)} order by case when ${byEmail()} then 0 else 1 end limit 1`,
      { byKey: true },
    );
    const { rows, count } = await driver.exec(statement.query({ name: foldName(name), exactly: name }));
    const [user] = this.decodeAll({ rows, count });
    if (!user) return null;
    // not enumerable: no log, JSON or copy of the user takes it along
    return Object.defineProperty({ ...user } as Credentials, 'passwordHash', { value: rows[0]?.at(-1) });
  }

  /** Stores a new hash: an Argon2 PHC string, which the caller makes. @throws NotFoundError; ValidationError */
  async setPasswordHash(id: string, hash: string): Promise<User> {
    const values = { passwordHash: parse(passwordHash, hash, 'hash') };
    return this.#edit(parseId(id), values, undefined);
  }

  /**
   * Records a login: now, by the clock of the store, unless a time is given. An earlier one than is recorded changes nothing; one in the future, which a
   * clock ahead has left, stands in no way.
   *
   * @throws NotFoundError; ValidationError for a time in the future, by more than 5 seconds.
   */
  async recordLogin(id: string, at?: Date): Promise<User> {
    const time = parse(z.date().optional(), at, 'at');
    return this.changeAsOf(parseId(id), time, { name: 'recordLogin', key: 'lastLoginAt', set: {}, values: {} });
  }

  /**
   * Makes sure that there is an enabled admin: creates this one when there is none, and answers the admin that was there
   * first otherwise. Any number of processes may call it at once. In a transaction, it sees what that sees: call it outside, or
   * in one that is read committed.
   *
   * @throws UniqueError when there is no enabled admin, and another user has the email address or the username.
   */
  async ensureAdmin(admin: NewAdmin): Promise<{ readonly user: User; readonly created: boolean }> {
    const checked = parse(newAdmin, admin);
    const there = await this.#firstAdmin();
    if (there) return { user: there, created: false };
    return this.#inTransaction(async (users) => {
      const { dialect, driver } = users.cx;
      for (const statement of users.cx.statements.several('users.lock', () => dialect.lockTable(users.table), {
        reads: false,
      }))
        await driver.exec(statement.query({}));
      const first = await users.#firstAdmin();
      if (first) return { user: first, created: false };
      return { user: await users.#insert({ ...checked, role: 'admin' }), created: true };
    });
  }

  /** @internal */
  protected conditions(filter: UserFilter): Conditions {
    const { role, enabled, search } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    return new Conditions(this.cx.dialect)
      .oneOf(t.role, role)
      .equals(t.enabled, enabled)
      .textIn([t.username, t.email, t.displayName], search);
  }

  #insert(user: z.output<typeof newUser>): Promise<User> {
    const now = this.cx.settings.now();
    return this.insert({
      id: user.id ?? newId(),
      email: user.email,
      username: user.username,
      passwordHash: user.passwordHash,
      role: user.role,
      displayName: user.displayName ?? null,
      enabled: user.enabled ?? true,
      lastLoginAt: null,
      createdAt: now,
      updatedAt: now,
    });
  }

  async #edit(id: string, given: Values, ifUpdatedAt: Date | undefined): Promise<User> {
    const { dialect, settings } = this.cx;
    const columns = getTableColumns(this.table);
    const names = Object.keys(given) as (keyof typeof columns)[];
    if (!names.length) {
      const user = await this.get(id);
      if (ifUpdatedAt && user.updatedAt.getTime() !== ifUpdatedAt.getTime())
        throw new ConflictError(this.tableName, id, CHANGED);
      return user;
    }
    const user = await this.change(id, {
      name: `update${ifUpdatedAt ? ' if' : ''}`,
      set: {
        ...Object.fromEntries(names.map((name) => [name, dialect.value(columns[name], name)])),
        updatedAt: dialect.later(this.table.updatedAt, 'now'),
      },
      values: { ...given, now: settings.now(), if_updated_at: ifUpdatedAt },
      ...(ifUpdatedAt ? { where: dialect.sameInstant(this.table.updatedAt, 'if_updated_at') } : {}),
    });
    if (!user) throw await this.refusal(id, CHANGED);
    return user;
  }

  async #findByName(column: 'email' | 'username', name: string): Promise<User | null> {
    const values = () => {
      const exactly = parse(accountName, name, column);
      return { name: foldName(exactly), exactly };
    };
    return this.findWhere(`by ${column}`, () => this.#isNamed(this.table[column]), values, { fresh: true });
  }

  /** One of these columns holds the name: an index finds it in each way, which SQLite does not see of one condition with OR. */
  #isNamed(...columns: readonly Column[]): SQL {
    const { id } = this.table;
    const found = columns.flatMap((column) =>
      this.#names(column).map((isName) => sql`select ${id} from ${this.table} where ${isName}`),
    );
    return sql`${id} in (${sql.join(found, sql` union all `)})`;
  }

  /** As it is compared, and exactly: other writers may have stored capitals that no database folds. */
  #names(column: Column): readonly SQL[] {
    const { dialect } = this.cx;
    return [dialect.textEquals(column, 'name'), sql`${column} = ${dialect.value(column, 'exactly')}`];
  }

  async #firstAdmin(): Promise<User | null> {
    return this.findWhere(
      'first admin',
      () => sql`${this.#isAdmin()} order by ${this.table.createdAt}, ${this.table.id} limit 1`,
      () => ADMIN,
      { fresh: true },
    );
  }

  /**
   * Runs what takes an admin away, with all enabled admins locked: of two that would each leave the other as the last one, the
   * second waits, sees the first one's work, and is refused.
   */
  async #sparingLastAdmin<T>(id: string, work: (users: Users) => Promise<T>): Promise<T> {
    return this.#inTransaction(async (users) => {
      const { dialect, driver, statements } = users.cx;
      const { id: key } = users.table;
      const lock = statements.one(
        'users.lock admins',
        () => sql`select ${key} from ${users.table} where ${users.#isAdmin()} order by ${key}${dialect.forUpdate()}`,
        { reads: false },
      );
      const { rows } = await driver.exec(lock.query(ADMIN));
      if (rows.length === 1 && rows[0]?.[0] === id) throw new ConflictError(users.tableName, id, LAST_ADMIN);
      return work(users);
    });
  }

  #isAdmin(): SQL {
    const { dialect } = this.cx;
    const { role, enabled } = this.table;
    return sql`${role} = ${dialect.value(role, 'admin')} and ${enabled} = ${dialect.value(enabled, 'enabled')}`;
  }

  #inTransaction<T>(work: (users: Users) => Promise<T>): Promise<T> {
    return this.cx.driver.transaction((driver) => {
      const cx: Context = { ...this.cx, driver, inTransaction: true };
      return work(new Users(cx, 'users'));
    });
  }
}

const ADMIN = { admin: 'admin', enabled: true };
