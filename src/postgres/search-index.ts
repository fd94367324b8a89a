/** The search index: pg_trgm's trigrams in a GIN index, which the planner uses by itself. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type SQL, sql } from 'drizzle-orm';
import { foldAscii } from '../codecs/fold-ascii.ts';
import { toJsonbString } from '../codecs/jsonb.ts';
import { jsonNeedle, likePattern } from '../driver/like.ts';
import type { Driver, Query } from '../driver/port.ts';
import type { SearchIndexStatus, SearchIndexTarget } from '../driver/search-index.ts';
import { bound } from '../driver/statement.ts';
import { DatabaseError, SerializationError, TimeoutError, UniqueError } from '../errors.ts';

const NAME = 'incidents_search_idx';

/** What is searched, in one text. The query says it as the index does, or the planner would not know it again. */
const DOCUMENT = `lower((alert_data::text || chr(10) || coalesce(ticket_id, '') || chr(10) || tags::text) collate "C")`;
const document: SQL = sql.raw(DOCUMENT.replace(/\b(alert_data|ticket_id|tags)\b/g, '"incidents"."$1"'));

const query = (text: string): Query => ({ sql: text, params: [], reads: false });
/** It waits for the transactions of others, and takes long. */
const slow = (text: string, timeoutMs: number): Query => ({ ...query(text), timeoutMs: Math.max(1, timeoutMs) });
/** Milliseconds that the removal of an index may wait for the transactions of others. */
const REMOVAL_MS = 600_000;
const PROGRESS_MS = 500;

export const searchIndex: SearchIndexTarget = {
  keepMs: 30_000, // an index that has gone only makes a search slower

  isReady: async (driver) => (await status(driver)).state === 'ready',
  status,

  async enable(driver, { progress, deadline }) {
    for (let failures = 0; ; ) {
      const { state, isUnderWay } = await look(driver);
      if (state === 'ready') return;
      if (performance.now() >= deadline) throw new TimeoutError('operation', { outcome: 'unknown' });
      if (isUnderWay) {
        // another process is at it
        progress(await status(driver));
        await sleep(PROGRESS_MS);
        continue;
      }
      try {
        await make(driver, progress, deadline);
      } catch (error) {
        // another process has begun meanwhile, with the index or with the extension
        if (!(isTaken(error) && ++failures < 5)) throw error;
      }
    }
  },

  async disable(driver) {
    for (let failures = 0; ; ) {
      try {
        await driver.exec(slow(`drop index concurrently if exists ${NAME}`, REMOVAL_MS));
        return;
      } catch (error) {
        if (!(isTaken(error) && ++failures < 5)) throw error;
      }
    }
  },

  tags: undefined, // incidents_tags_idx

  candidates(_incidents, name, text) {
    if ([...text].length < 3) return undefined;
    const inJson = bound(name, (needle: string) => likePattern(foldAscii(jsonNeedle(toJsonbString(needle)))));
    const inTicket = bound(name, (needle: string) => likePattern(foldAscii(needle)));
    return sql`(${document} like ${inJson} escape '\\' or ${document} like ${inTicket} escape '\\')`;
  },
};

async function make(driver: Driver, progress: (status: SearchIndexStatus) => void, deadline: number): Promise<void> {
  await driver.exec(query('create extension if not exists pg_trgm'));
  await removeLeftover(driver);
  let failed: { readonly error: unknown } | undefined; // what `progress` threw
  let isAsking = false;
  const watching = setInterval(async () => {
    if (isAsking) return;
    isAsking = true;
    const seen = await status(driver).catch(() => undefined);
    isAsking = false;
    if (!seen || failed) return;
    try {
      progress(seen);
    } catch (error) {
      failed = { error };
    }
  }, PROGRESS_MS);
  try {
    const create = `create index concurrently ${NAME} on incidents using gin ((${DOCUMENT}) gin_trgm_ops)`;
    await driver.exec(slow(create, deadline - performance.now()));
  } finally {
    clearInterval(watching);
  }
  if (failed) throw (failed as { readonly error: unknown }).error; // the index is there all the same
  progress(await status(driver));
}

/**
 * What an interrupted making leaves behind is of no use. Its name is taken from it under the lock that makings hold, so that none
 * which another process has finished meanwhile is dropped for it.
 */
async function removeLeftover(driver: Driver): Promise<void> {
  const leftover = `${NAME}_${randomUUID().slice(0, 8)}`;
  const found = await driver.transaction(async (inner) => {
    await inner.exec(query('lock table incidents in share update exclusive mode'));
    const { rows } = await inner.exec(
      query(`select 1 from pg_index where indexrelid = to_regclass('${NAME}') and not indisvalid`),
    );
    if (rows.length) await inner.exec(query(`alter index ${NAME} rename to ${leftover}`));
    return rows.length > 0;
  });
  if (found) await driver.exec(slow(`drop index concurrently if exists ${leftover}`, REMOVAL_MS));
}

const isTaken = (error: unknown) =>
  error instanceof UniqueError ||
  error instanceof SerializationError ||
  // duplicate_table; and what two changes of one catalog row at a time end with (tuple concurrently updated)
  (error instanceof DatabaseError && (error.nativeCode === '42P07' || error.nativeCode === 'XX000'));

async function status(driver: Driver): Promise<SearchIndexStatus> {
  const { isUnderWay: _, ...seen } = await look(driver);
  return seen;
}

async function look(driver: Driver): Promise<SearchIndexStatus & { readonly isUnderWay: boolean }> {
  const { rows } = await driver.exec(
    query(
      `select i.indisvalid, pg_relation_size(i.indexrelid)::text, p.tuples_done::text, p.tuples_total::text, p.pid is not null
       from pg_index i left join pg_stat_progress_create_index p on p.index_relid = i.indexrelid
       where i.indexrelid = to_regclass('${NAME}')`,
    ),
  );
  if (!rows[0]) return { state: 'absent', indexed: null, total: null, bytes: null, isUnderWay: false };
  const [valid, bytes, done, total, isUnderWay] = rows[0];
  const number = (value: unknown) => (value === null ? null : Number(value));
  return valid === true
    ? { state: 'ready', indexed: null, total: null, bytes: number(bytes), isUnderWay: false }
    : {
        state: 'building',
        indexed: number(done),
        total: number(total),
        bytes: number(bytes),
        isUnderWay: isUnderWay === true || isUnderWay === 't',
      };
}
