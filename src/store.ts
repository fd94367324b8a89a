import { inspect } from 'node:util';
import { z } from 'zod';
import { deadlineIn } from './driver/deadline.ts';
import type { Dialect } from './driver/dialect.ts';
import { guard, refuseInside } from './driver/guard.ts';
import type { Connection, Isolation } from './driver/port.ts';
import { retrying } from './driver/retry.ts';
import { StatementCache } from './driver/statement.ts';
import { ClosedError } from './errors.ts';
import type { MigrationStatus, Migrator } from './migrations/migrator.ts';
import { actor as actorText } from './model/fields.ts';
import { parse } from './model/parse.ts';
import type { NoSchemas, SchemasOf } from './model/schema.ts';
import { limitMs } from './options.ts';
import { Actions } from './repositories/actions.ts';
import { ApiKeys } from './repositories/api-keys.ts';
import { Approvals } from './repositories/approvals.ts';
import { AuditLogs } from './repositories/audit-logs.ts';
import { Connectors } from './repositories/connectors.ts';
import { type Context, Searchable, type StoreSettings } from './repositories/context.ts';
import { Decoders } from './repositories/decoders.ts';
import { Incidents } from './repositories/incidents.ts';
import { NotificationChannels } from './repositories/notification-channels.ts';
import { Playbooks } from './repositories/playbooks.ts';
import { Policies } from './repositories/policies.ts';
import { Sessions } from './repositories/sessions.ts';
import { Settings } from './repositories/settings.ts';
import { Users } from './repositories/users.ts';
import { type RotateSecretsOptions, rotateSecrets, type SecretRotation } from './rotation.ts';
import { SearchIndex } from './search-index.ts';

/** The options of `transaction`. */
export interface TransactionOptions {
  /** PostgreSQL's isolation level, by default that of the server (read committed). SQLite's is always serializable. */
  readonly isolation?: Isolation | undefined;
  /**
   * How often the whole transaction is run again when the database could not order it among others (SerializationError): 0
   * unless it is given. The callback must then be safe to run again. Its own errors are never retried.
   */
  readonly retries?: number | undefined;
  /**
   * Milliseconds from the call to COMMIT, all its retries and the wait for a connection included: the store's `transactionTimeoutMs` (60,000) by
   * default. Then it is rolled back and throws a TimeoutError, also when the callback has not ended; what that does later throws. COMMIT or ROLLBACK
   * may take 5 seconds longer. A nested one ends with the outermost.
   */
  readonly timeoutMs?: number | undefined;
}

/** The options of `close`. */
export interface CloseOptions {
  /** Milliseconds to wait for what is in flight: 20,000 by default. What has not ended by then is rolled back, and fails. */
  readonly timeoutMs?: number | undefined;
}

const transactionOptions = z.strictObject({
  isolation: z.enum(['read committed', 'repeatable read', 'serializable']).optional(),
  retries: z.number().int().min(0).max(100).optional(),
  timeoutMs: limitMs.optional(),
});

const closeOptions = z.strictObject({ timeoutMs: limitMs.default(20_000) });

/**
 * The repositories, in the name of one actor: of the store itself, or of a transaction. `J` is what `openStore` was given as
 * `json`: the caller's own types of JSON columns.
 */
export class Handle<J = NoSchemas> {
  readonly incidents: Incidents<SchemasOf<J, 'incidents'>>;
  readonly auditLogs: AuditLogs;
  readonly actions: Actions<SchemasOf<J, 'actions'>>;
  readonly approvals: Approvals;
  readonly playbooks: Playbooks<SchemasOf<J, 'playbooks'>>;
  readonly connectors: Connectors<SchemasOf<J, 'connectors'>>;
  readonly policies: Policies;
  readonly notificationChannels: NotificationChannels<SchemasOf<J, 'notificationChannels'>>;
  readonly settings: Settings;
  readonly users: Users;
  readonly sessions: Sessions;
  readonly apiKeys: ApiKeys;

  /** @internal */
  protected readonly cx: Context;

  /** @internal */
  constructor(cx: Context) {
    this.cx = cx;
    this.incidents = new Incidents(cx, 'incidents');
    this.auditLogs = new AuditLogs(cx, 'auditLogs');
    this.actions = new Actions(cx, 'actions');
    this.approvals = new Approvals(cx, 'approvals');
    this.playbooks = new Playbooks(cx, 'playbooks');
    this.connectors = new Connectors(cx, 'connectors');
    this.policies = new Policies(cx, 'policies');
    this.notificationChannels = new NotificationChannels(cx, 'notificationChannels');
    this.settings = new Settings(cx);
    this.users = new Users(cx, 'users');
    this.sessions = new Sessions(cx, 'sessions');
    this.apiKeys = new ApiKeys(cx, 'apiKeys');
  }

  /** Who is written into the audit trail by what is done through this handle. */
  get actor(): string {
    return this.cx.actor;
  }

  /** Printed, a handle shows whose it is, and nothing of its inside. @internal */
  [inspect.custom](): string {
    return `${this.constructor.name} { dialect: '${this.cx.dialect.name}', actor: '${this.cx.actor}' }`;
  }

  /**
   * The same repositories, in the name of someone else: a user name, or a service.
   *
   * @throws ValidationError for an empty name, or one of over 200 characters.
   */
  as(actor: string): Handle<J> {
    return new Handle<J>({ ...this.cx, actor: parse(actorText, actor, 'actor') });
  }

  /**
   * Runs `work` in one transaction: all that is done through its `tx` happens, or none of it. A throw rolls back and is
   * thrown on. Inside a transaction, it is a savepoint. Transactions of one SQLite store run one after the other.
   *
   * @throws TransactionScopeError when an outer handle is used inside; TransactionAbortedError when a statement failed
   * before and the failure was caught; TimeoutError; SerializationError; BusyError; ConnectionError.
   */
  async transaction<T>(work: (tx: Handle<J>) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const {
      isolation,
      retries = 0,
      timeoutMs = this.cx.settings.transactionTimeoutMs,
    } = parse(transactionOptions, options);
    const deadline = deadlineIn(timeoutMs);
    return retrying(retries, () => {
      const limits = { isolation, timeoutMs: Math.max(1, deadline - performance.now()) };
      return this.cx.driver.transaction(
        (driver) => work(new Handle<J>({ ...this.cx, driver, inTransaction: true })),
        limits,
      );
    });
  }
}

/** What a store is made of. */
export interface StoreParts {
  readonly connection: Connection;
  readonly dialect: Dialect;
  readonly migrator: Migrator;
  readonly settings: StoreSettings;
}

/** An open database. Close it when it is no longer needed, or open it with `await using`. */
export class Store<J = NoSchemas> extends Handle<J> implements AsyncDisposable {
  /**
   * The same repositories, reading from the primary only: what was written just now is seen. Where there are no replicas, every
   * read is like that.
   */
  readonly primary: Handle<J>;
  /** The optional index of `search`. */
  readonly searchIndex: SearchIndex;
  readonly #connection: Connection;
  readonly #migrator: Migrator;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor({ connection, dialect, migrator, settings }: StoreParts) {
    super({
      dialect,
      driver: guard(connection),
      inTransaction: false,
      statements: new StatementCache(dialect),
      searchable: new Searchable(dialect.searchIndex),
      decoders: new Decoders(
        dialect.tables,
        settings.schemas,
        settings.keys,
        settings.sessionEncryption === 'required',
      ),
      actor: 'system',
      settings,
    });
    this.#connection = connection;
    this.primary = connection.primary
      ? new Handle<J>({ ...this.cx, driver: guard(connection.primary, connection) })
      : new Handle<J>(this.cx);
    this.searchIndex = new SearchIndex(
      dialect.searchIndex,
      this.cx.driver,
      () => this.#checkUsable(),
      () => this.cx.searchable.forget(),
    );
    this.#migrator = migrator;
  }

  /** Which database this is. */
  get dialect(): 'sqlite' | 'postgres' {
    return this.cx.dialect.name;
  }

  /**
   * Applies the migrations that are pending, each in a transaction of its own; answers their names. Any number of processes
   * may do so at once.
   *
   * @throws MigrationError when the database and the package do not fit.
   */
  async migrate(): Promise<readonly string[]> {
    this.#checkUsable();
    return this.#migrator.migrate();
  }

  /** Tells which migrations are applied and which are pending. Needs no rights but to read. */
  async migrationStatus(): Promise<MigrationStatus> {
    this.#checkUsable();
    return this.#migrator.status();
  }

  /**
   * Encrypts all secrets, and the data of sessions, with the primary key: those under another key, and those that Triage
   * Warden's Rust services wrote. A batch at a time, while others read and write; what was done stays done when it is
   * interrupted. Once it has found nothing more to do, the other keys can be dropped.
   *
   * @throws CryptoError `no_key`; ValidationError.
   */
  async rotateSecrets(options: RotateSecretsOptions = {}): Promise<SecretRotation> {
    this.#checkUsable();
    return rotateSecrets(this.cx, options);
  }

  /**
   * Waits for what is in flight, then closes the connections. Further calls throw ClosedError. What has not ended within `timeoutMs` is rolled back
   * and fails: with ClosedError where it was not begun, else with a ConnectionError (`closed`). Settles within that time and two seconds, whatever
   * the database does, and never fails for what that does. May be called again: that waits for the first one.
   *
   * @throws TransactionScopeError inside a transaction of this store; ValidationError.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    refuseInside(this.#connection);
    const { timeoutMs } = parse(closeOptions, options);
    this.#closing ??= this.#connection.close(timeoutMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkUsable(): void {
    refuseInside(this.#connection);
    if (this.#closing) throw new ClosedError();
  }
}
