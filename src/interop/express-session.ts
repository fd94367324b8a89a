/** A store for express-session, and for @fastify/session, which takes the same stores. */
import { callbackify } from 'node:util';
import session, { type SessionData } from 'express-session';
import { z } from 'zod';
import { DecodeError, NotFoundError } from '../errors.ts';
import { limitedText } from '../model/fields.ts';
import { parse } from '../model/parse.ts';
import type { Sessions } from '../repositories/sessions.ts';

/** The options of a `SessionStore`. */
export interface SessionStoreOptions {
  /** How the ids of these sessions start in the table, which others may share: `sess:` by default. */
  readonly prefix?: string | undefined;
  /** Milliseconds for which a session lives whose cookie does not say: a day by default. */
  readonly ttlMs?: number | undefined;
}

type Callback<Value = void> = (error: unknown, value?: Value) => void;

const optionsSchema = z.strictObject({
  prefix: limitedText(100).default('sess:'),
  ttlMs: z.number().int().min(1).max(31_536_000_000_000).default(86_400_000),
});

/** The last moment that a session can expire at. */
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59);

const ignored = () => {};

/**
 * Keeps the sessions of express-session in a store's table `sessions`, as JSON.
 *
 * @example
 * app.use(session({ store: new SessionStore(store), secret, resave: false, saveUninitialized: false }))
 */
export class SessionStore extends session.Store {
  readonly #sessions: Sessions;
  readonly #prefix: string;
  readonly #ttlMs: number;

  /** @throws ValidationError for options that cannot be used. */
  constructor(store: { readonly sessions: Sessions }, options: SessionStoreOptions = {}) {
    super();
    const { prefix, ttlMs } = parse(optionsSchema, options);
    this.#sessions = store.sessions;
    this.#prefix = prefix;
    this.#ttlMs = ttlMs;
  }

  /** Reads a session; null when there is none, or it has expired. */
  override get(sid: string, callback: Callback<SessionData | null>): void {
    answer(async () => {
      const found = await this.#sessions.load(this.#prefix + sid);
      return found && readData(found.data);
    }, callback);
  }

  /** Stores a session, in place of the one with this id if there is one. */
  override set(sid: string, data: SessionData, callback: Callback = ignored): void {
    answer(async () => {
      const id = this.#prefix + sid;
      const expiryDate = this.#expiryOf(data);
      if (expiryDate <= this.#sessions.now()) await this.#sessions.delete(id);
      else await this.#sessions.save({ id, data: Buffer.from(JSON.stringify(data)), expiryDate });
    }, callback);
  }

  /** Lets a session live as long as its cookie. Nothing happens when it is gone already. */
  override touch(sid: string, data: SessionData, callback: () => void = ignored): void {
    answer(async () => {
      try {
        await this.#sessions.touch(this.#prefix + sid, this.#expiryOf(data));
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
      }
    }, callback);
  }

  /** Ends a session. */
  override destroy(sid: string, callback: Callback = ignored): void {
    answer(async () => void (await this.#sessions.delete(this.#prefix + sid)), callback);
  }

  /** Reads all sessions of this store, by their ids. */
  override all(callback: Callback<{ [sid: string]: SessionData }>): void {
    answer(async () => {
      const all: [string, SessionData][] = [];
      for await (const { id, data } of this.#sessions.stream({ idPrefix: this.#prefix }))
        all.push([id.slice(this.#prefix.length), readData(data)]);
      return Object.fromEntries(all);
    }, callback);
  }

  /** Counts the sessions of this store. */
  override length(callback: Callback<number>): void {
    answer(() => this.#sessions.count({ idPrefix: this.#prefix }), callback);
  }

  /** Ends all sessions of this store. */
  override clear(callback: Callback = ignored): void {
    answer(async () => void (await this.#sessions.deleteByPrefix(this.#prefix)), callback);
  }

  #expiryOf({ cookie }: SessionData): Date {
    const { expires } = cookie ?? {};
    const time = expires ? new Date(expires).getTime() : this.#sessions.now().getTime() + this.#ttlMs;
    return new Date(Math.min(time, LATEST));
  }
}

/** Hands over to the callback outside of the promise, so that what it throws is not caught here. */
function answer<Value>(work: () => Promise<Value>, callback: Callback<Value>): void {
  callbackify(work)(callback as (error: NodeJS.ErrnoException | null, value: Value) => void);
}

function readData(data: Uint8Array): SessionData {
  let read: unknown;
  try {
    read = JSON.parse(Buffer.from(data).toString());
  } catch {
    read = null;
  }
  // express-session reads the cookie's members without looking
  const cookie = typeof read === 'object' && read !== null && 'cookie' in read ? read.cookie : null;
  if (typeof cookie !== 'object' || cookie === null)
    throw new DecodeError('sessions', 'data', null, 'is not a session of express-session');
  return read as SessionData; // an object with a cookie, as `set` writes it
}
