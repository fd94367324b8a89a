/**
 * The search index: FTS5's trigrams, of which it keeps only in which row each stands (`detail=none`, no content). It answers
 * candidates, which the search then looks at itself. Triggers keep it true, whoever writes; an id of its own stands for each
 * incident, since VACUUM may change the rowids of `incidents`.
 *
 * Beside it stands a table of the tags, as SQLite has no index of a JSON array's elements. INSERT OR REPLACE may leave rows in it
 * that are not true any more: whoever finds an incident by it looks at its tags as well.
 */
import { sql } from 'drizzle-orm';
import { jsonNeedle } from '../driver/like.ts';
import type { Driver, Query } from '../driver/port.ts';
import type { SearchIndexStatus, SearchIndexTarget } from '../driver/search-index.ts';
import { bound } from '../driver/statement.ts';
import { TimeoutError } from '../errors.ts';

const body = (row: string) =>
  `${row}.alert_data || char(10) || coalesce(${row}.ticket_id, '') || char(10) || ${row}.tags`;

const addNew = `
  insert into incidents_search_rows (incident_id) values (new.id);
  insert into incidents_search (rowid, body) select number, ${body('new')} from incidents_search_rows where incident_id = new.id;`;
const removeOld = `
  delete from incidents_search where rowid = (select number from incidents_search_rows where incident_id = old.id);
  delete from incidents_search_rows where incident_id = old.id;`;

/** Tags as an array, also where another writer left no JSON behind: it must not be refused for that. */
const tagsOf = (row: string) => `json_each(case when json_valid(${row}.tags) then ${row}.tags else '[]' end)`;
const addTags = (row: string) =>
  `insert or ignore into incidents_search_tags (tag, created_at, incident_id) select distinct value, ${row}.created_at, ${row}.id from ${tagsOf(row)} where type = 'text';`;
const removeTags = `
  delete from incidents_search_tags
  where tag in (select value from ${tagsOf('old')}) and created_at = old.created_at and incident_id = old.id;`;

/** Without any of these, which go with a table that is rebuilt, the index would not be true. */
const PARTS = [
  'incidents_search_state',
  'incidents_search_rows',
  'incidents_search_tags',
  'incidents_search',
  ...['incidents_search', 'incidents_search_tags'].flatMap((name) =>
    ['insert', 'update', 'delete'].map((event) => `${name}_${event}`),
  ),
];

const CREATE = [
  'create table incidents_search_state (ready integer not null, last_id text not null)',
  `insert into incidents_search_state values (0, '')`,
  'create table incidents_search_rows (number integer primary key, incident_id text not null unique)',
  `create virtual table incidents_search using fts5 (body, content='', contentless_delete=1, detail=none, tokenize='trigram')`,
  `create trigger incidents_search_insert after insert on incidents begin ${addNew} end`,
  `create trigger incidents_search_update after update of alert_data, ticket_id, tags on incidents begin ${removeOld} ${addNew} end`,
  `create trigger incidents_search_delete after delete on incidents begin ${removeOld} end`,
  'create table incidents_search_tags (tag text not null, created_at text not null, incident_id text not null, primary key (tag, created_at, incident_id)) without rowid',
  `create trigger incidents_search_tags_insert after insert on incidents when new.tags <> '[]' begin ${addTags('new')} end`,
  `create trigger incidents_search_tags_update after update of tags, created_at on incidents begin ${removeTags} ${addTags('new')} end`,
  `create trigger incidents_search_tags_delete after delete on incidents begin ${removeTags} end`,
];

const DROP = [
  ...PARTS.filter((name) => /_(insert|update|delete)$/.test(name)).map((name) => `drop trigger if exists ${name}`),
  ...['incidents_search', 'incidents_search_rows', 'incidents_search_tags', 'incidents_search_state'].map(
    (name) => `drop table if exists ${name}`,
  ),
];

const write = (text: string, params: readonly unknown[] = []): Query => ({ sql: text, params, reads: false });
const read = (text: string): Query => ({ sql: text, params: [], reads: true });

export const searchIndex: SearchIndexTarget = {
  keepMs: 0,

  async isReady(driver) {
    if (!(await isWhole(driver))) return false;
    const { rows } = await driver.exec(read('select ready from incidents_search_state'));
    return rows[0]?.[0] === 1;
  },

  status,

  async enable(driver, { batchSize, progress, deadline }) {
    await driver.transaction(async (inner) => {
      // where a part went, it is not known what was written since then
      const steps = (await isWhole(inner)) ? [] : [...DROP, ...CREATE];
      for (const statement of steps) await inner.exec(write(statement));
    });
    const { rows } = await driver.exec(read('select count(*) from incidents'));
    for (let done = false; !done; ) {
      done = await driver.transaction((inner) => addBatch(inner, batchSize));
      if (!done && performance.now() >= deadline) throw new TimeoutError('operation', { outcome: 'unknown' });
      if (!done) progress(await soFar(driver, Number(rows[0]?.[0])));
      await new Promise(setImmediate);
    }
    progress(await status(driver));
  },

  async disable(driver) {
    await driver.transaction(async (inner) => {
      for (const statement of DROP) await inner.exec(write(statement));
    });
  },

  candidates: (incidents, name, text) =>
    trigramsOf(text).length
      ? sql`${incidents.id} in (select incident_id from incidents_search_rows where number in (select rowid from incidents_search where incidents_search match ${bound(name, matchOf)}))`
      : undefined,

  tags: {
    async count(driver, tag) {
      const { rows } = await driver.exec({
        ...read(`select count(*) from (select 1 from incidents_search_tags where tag = ? limit ${FEW + 1})`),
        params: [tag],
      });
      const count = Number(rows[0]?.[0]);
      return count > FEW ? Infinity : count;
    },

    ids: (names) =>
      sql`select incident_id from incidents_search_tags where tag in (${sql.join(
        names.map((name) => bound(name)),
        sql`, `,
      )})`,

    first(names, { descending, beyond, limit, others }) {
      const direction = descending ? sql`desc` : sql`asc`;
      // `beyond` says it of incidents; of the tags, their own order finds it
      const behind = sql` and (t.created_at, t.incident_id) ${descending ? sql`<` : sql`>`} (${bound('after0')}, ${bound('after_id')})`;
      // CROSS JOIN: by the tags, in their order
      const firstOf = (name: string) => sql`select * from (
        select t.incident_id from incidents_search_tags t
        cross join incidents on incidents.id = t.incident_id and incidents.created_at = t.created_at and t.tag = ${bound(name)}${beyond ? behind : sql``}
        ${others.length ? sql`where ${sql.join([...others], sql` and `)}` : sql``} order by t.created_at ${direction}, t.incident_id ${direction} limit +${bound(limit)})`;
      return sql.join(names.map(firstOf), sql` union all `);
    },
  },
};

async function isWhole(driver: Driver): Promise<boolean> {
  const { rows } = await driver.exec(
    read(`select count(*) from sqlite_master where name in (${PARTS.map((name) => `'${name}'`).join()})`),
  );
  return rows[0]?.[0] === PARTS.length;
}

/** As many incidents are read one by one sooner than a walk along another index finds a page of them among a million. */
const FEW = 5000;

/** Adds the next incidents that are not in it yet; answers whether these were the last ones. */
async function addBatch(driver: Driver, size: number): Promise<boolean> {
  const { rows: tables } = await driver.exec(
    write(`select 1 from sqlite_master where type = 'table' and name = 'incidents_search_state'`),
  );
  if (!tables.length) return true; // it was disabled meanwhile
  const { rows: state } = await driver.exec(write('select ready, last_id from incidents_search_state'));
  const [ready, last] = state[0] ?? [1, ''];
  if (ready === 1) return true;
  const { rows: ids } = await driver.exec(
    write('select id from incidents where id > ? order by id limit ?', [last, size]),
  );
  const newest = ids.at(-1)?.[0];
  if (newest !== undefined) {
    const { rows: before } = await driver.exec(write('select coalesce(max(number), 0) from incidents_search_rows'));
    await driver.exec(
      write(
        'insert or ignore into incidents_search_rows (incident_id) select id from incidents where id > ? and id <= ?',
        [last, newest],
      ),
    );
    await driver.exec(
      write(
        `insert into incidents_search (rowid, body) select number, ${body('i')} from incidents_search_rows r join incidents i on i.id = r.incident_id where number > ?`,
        [before[0]?.[0]],
      ),
    );
    await driver.exec(
      write(
        `insert or ignore into incidents_search_tags (tag, created_at, incident_id) select distinct t.value, i.created_at, i.id from incidents i, ${tagsOf('i')} t where i.id > ? and i.id <= ? and t.type = 'text'`,
        [last, newest],
      ),
    );
    await driver.exec(write('update incidents_search_state set last_id = ?', [newest]));
  }
  if (ids.length === size) return false;
  await driver.exec(write('update incidents_search_state set ready = 1'));
  return true;
}

/** How far it is, without looking at all of it. */
async function soFar(driver: Driver, total: number): Promise<SearchIndexStatus> {
  const { rows } = await driver.exec(read('select max(number) from incidents_search_rows'));
  return { state: 'building', indexed: Number(rows[0]?.[0] ?? 0), total, bytes: null };
}

async function status(driver: Driver): Promise<SearchIndexStatus> {
  const { rows: tables } = await driver.exec(
    read(`select 1 from sqlite_master where type = 'table' and name = 'incidents_search_state'`),
  );
  if (!tables.length) return { state: 'absent', indexed: null, total: null, bytes: null };
  // a part of it went: `enable` makes it again
  if (!(await isWhole(driver))) return { state: 'building', indexed: null, total: null, bytes: null };
  const { rows } = await driver.exec(
    read(
      `select ready, (select count(*) from incidents_search_rows), (select count(*) from incidents), (select sum(length(block)) from incidents_search_data) + (select coalesce(sum(length(tag) + length(created_at) + length(incident_id)), 0) from incidents_search_tags) from incidents_search_state`,
    ),
  );
  const [ready, indexed, total, bytes] = (rows[0] ?? []).map(Number);
  return {
    state: ready === 1 ? 'ready' : 'building',
    indexed: indexed ?? null,
    total: total ?? null,
    bytes: bytes ?? null,
  };
}

/** More of them would only make the query longer. */
const MOST_TRIGRAMS = 16;

/** Some trigrams that every row with this text has; none for less than three characters. */
function trigramsOf(text: string): readonly string[] {
  const characters = [...text];
  const all = [...new Set(characters.slice(2).map((_, i) => characters.slice(i, i + 3).join('')))];
  const step = Math.max(all.length / MOST_TRIGRAMS, 1);
  return all.filter((_, i) => Math.floor(i / step) > Math.floor((i - 1) / step) || i === 0);
}

/** The text as it stands in JSON, or as it stands in a ticket. */
const matchOf = (text: string): string =>
  [...new Set([jsonNeedle(text), text])]
    .map(
      (needle) =>
        `(${trigramsOf(needle)
          .map((trigram) => `"${trigram.replaceAll('"', '""')}"`)
          .join(' AND ')})`,
    )
    .join(' OR ');
