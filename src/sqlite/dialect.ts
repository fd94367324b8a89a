import { aliasedTable, type Column, getTableColumns, getTableName, type SQL, sql, type Table } from 'drizzle-orm';
import { SQLiteSyncDialect } from 'drizzle-orm/sqlite-core';
import type { RawJson } from '../codecs/json.ts';
import { parseTimestamp } from '../codecs/timestamp.ts';
import type { AuditedUpdate, BulkRows, Dialect } from '../driver/dialect.ts';
import { jsonNeedle, likePattern } from '../driver/like.ts';
import type { Query } from '../driver/port.ts';
import { bound, boundTo } from '../driver/statement.ts';
import { isStorable } from '../model/fields.ts';
import { asTables } from '../repositories/tables.ts';
import * as schema from './schema.ts';
import { searchIndex } from './search-index.ts';

const writer = new SQLiteSyncDialect();
const tables = asTables(schema);

/** Rows in one synchronous step of a bulk insert: about 5 ms, so that the event loop stays free in between. */
const CHUNK_ROWS = 128;
const CHUNK_CHARS = 1_000_000;

const assignments = (table: Table, set: Readonly<Record<string, SQL>>) =>
  sql.join(
    Object.entries(set).map(
      ([key, value]) => sql`${sql.identifier(getTableColumns(table)[key]?.name ?? key)} = ${value}`,
    ),
    sql`, `,
  );

const columnNames = (table: Table) =>
  sql.join(
    Object.values(getTableColumns(table)).map((column) => sql.identifier(column.name)),
    sql`, `,
  );

const idOf = (table: Table) => getTableColumns(table).id as Column; // audited tables have an id

export const dialect: Dialect = {
  name: 'sqlite',
  tables,
  write: (statement) => writer.sqlToQuery(statement),

  value: boundTo,
  stored: (_column, name) => sql`${bound(name)}`,
  json: (name) => sql`json(${bound(name, jsonText)})`,
  later: (column, name) =>
    sql`case when ${column} < ${boundTo(column, name)} then ${boundTo(column, name)} when ${column} >= '9999-12-31T23:59:59.999' then ${column} else strftime('%Y-%m-%dT%H:%M:%fZ', ${column}, '+0.001 seconds') end`,
  // other writers leave nanoseconds and offsets behind, which read as the same millisecond
  sameInstant: (column, name) =>
    sql`(${column} = ${boundTo(column, name)} or (length(${column}) <> 24 and unixepoch(${column}, 'subsec') - unixepoch(${boundTo(column, name)}, 'subsec') between -0.0005 and 0.0015))`,
  isStored: (column, value) => {
    if (column.dataType === 'number') return Number.isSafeInteger(value);
    if (typeof value !== 'string') return false;
    // the only custom type that lists are ordered by is the timestamp, of which other writers leave other forms
    return column.dataType === 'custom' ? value.length <= 64 && parseTimestamp(value) !== null : isStorable(value);
  },
  notAfter: (column, name) =>
    sql`case when length(${column}) = 24 then ${column} <= ${boundTo(column, name)} else unixepoch(${column}, 'subsec') <= unixepoch(${boundTo(column, name)}, 'subsec') end`,
  ordered: (column) => sql`${column}`, // its texts compare byte by byte
  lockTable: () => [], // there is one writer
  each: (lists, select) => {
    const sets = lists.reduce<readonly (readonly SQL[])[]>(
      (all, list) => all.flatMap((set) => list.map((value) => [...set, value])),
      [[]],
    );
    const parts = sets.map((set, i) => sql`select * from (${select(set)}) as ${sql.identifier(`part${i}`)}`);
    return sql.join(parts, sql` union all `);
  },
  knowsRows: false,
  by: (index) => sql` indexed by ${sql.identifier(index)}`,
  // a bare `limit ?` makes SQLite prepare the statement again for every value
  limit: (name) => sql`+${bound(name)}`,
  forUpdate: () => sql``, // there is one writer

  includes: (column, name) => sql`exists (select 1 from json_each(${column}) where value = ${bound(name)})`,
  textEquals: (column, name) => sql`${column} = ${bound(name)} collate nocase`,
  // LIKE of SQLite folds the case of ASCII letters only
  textContains: (column, name) => sql`${column} like ${bound(name, likePattern)} escape '\\'`,
  jsonContains: (column, name) =>
    sql`${column} like ${bound(name, (text: string) => likePattern(jsonNeedle(text)))} escape '\\'`,

  append: (column, name) => sql`json_insert(${column}, '$[#]', json(${bound(name, jsonText)}))`,
  union: (column, name) => sql`(
    select json_group_array(value order by position) from (
      select value, min(position) as position from (
        select value, key as position from json_each(${column})
        union all select value, 1000000 + key from json_each(${bound(name, jsonText)})
      ) group by value
    ))`,
  except: (column, name) => sql`(
    select json_group_array(value order by key) from json_each(${column})
    where value not in (select value from json_each(${bound(name, jsonText)})))`,
  merge: (column, name, size) => {
    const members = Array.from({ length: size }, (_, i) => [
      bound(name, (pairs: Pairs) => `$.${JSON.stringify(pairs[i]?.[0])}`),
      sql`json(${bound(name, (pairs: Pairs) => jsonText(pairs[i]?.[1]))})`,
    ]).flat();
    let merged = sql`${column}`;
    for (let at = 0; at < members.length; at += MOST_ARGUMENTS)
      merged = sql`json_set(${merged}, ${sql.join(members.slice(at, at + MOST_ARGUMENTS), sql`, `)})`;
    return merged;
  },
  jsonText: (column, path) => sql`${column} ->> ${sql.raw(`'$.${path.join('.')}'`)}`,

  day: (column) => sql`date(${column})`,
  millisecondsBetween: (from, to) =>
    sql`cast(round((unixepoch(${to}, 'subsec') - unixepoch(${from}, 'subsec')) * 1000) as integer)`,
  estimate: undefined,

  object: (members) =>
    sql`json_object(${sql.join(
      Object.entries(members).flatMap(([key, value]) => [sql.raw(`'${key}'`), value]),
      sql`, `,
    )})`,
  jsonString: (expression) => sql`${expression}`,
  nth: (_column, name) => sql`json_extract(${bound(name)}, '$[' || (row_number() over () - 1) || ']')`,

  auditedInsert: (insert, audit) => [insert, audit],
  auditedUpdate,
  bulk: { chunkRows: CHUNK_ROWS, chunkChars: CHUNK_CHARS },
  bulkInsert,
  searchIndex,
  storedJson: String,
};

/** Of one function SQLite takes 1,000. */
const MOST_ARGUMENTS = 900;

type Pairs = readonly (readonly [string, RawJson])[];
const jsonText = (json: RawJson | undefined) => json?.text;

/** The audit rows first, from the rows as they still are; then the change, by the same condition. */
function auditedUpdate({ table, where, first, set, audit }: AuditedUpdate): readonly SQL[] {
  const subject = aliasedTable(table, 'subject');
  const chosen = (row: Table) =>
    first ? sql`${where(row)} order by ${first.orderBy(row)} limit ${dialect.limit(first.limit)}` : where(row);
  const by = first?.index ? dialect.by(first.index) : sql``;
  // a subquery where rows are counted out, so that they are numbered as they were chosen
  const source = first
    ? sql`(select * from ${table}${by} where ${chosen(table)}) as "subject"`
    : sql`${table} as "subject" where ${where(subject)}`;
  return [
    sql`insert into ${tables.auditLogs} (${columnNames(tables.auditLogs)}) select ${sql.join([...audit(subject)], sql`, `)} from ${source}`,
    sql`update ${table} set ${assignments(table, set)} where ${
      first ? sql`${idOf(table)} in (select ${idOf(table)} from ${table}${by} where ${chosen(table)})` : where(table)
    } returning ${columnNames(table)}`,
  ];
}

function bulkInsert({ table, rows, trail, ignoreConflicts }: BulkRows): readonly Query[] {
  const audit = tables.auditLogs;
  const insert = `insert into ${named(table)} values (${marks(table)})`;
  if (!ignoreConflicts)
    return [
      { sql: insert, params: [], each: rows, reads: false },
      { sql: `insert into ${named(audit)} values (${marks(audit)})`, params: [], each: trail, reads: false },
    ];
  // each audit row right behind its row: only if that was inserted
  const log = `insert into ${named(audit)} select ${marks(audit)} where changes() = 1`;
  return [
    ...rows.flatMap((params, i) => [
      { sql: `${insert} on conflict do nothing`, params, reads: false },
      { sql: log, params: trail[i] ?? [], reads: false },
    ]),
    {
      sql: 'select incident_id from audit_logs where id in (select value from json_each(?))',
      params: [JSON.stringify(trail.map(([id]) => id))],
      reads: false,
    },
  ];
}

/** A table and its columns, in the order in which rows are encoded: the file's own order may differ. */
const named = (table: Table) =>
  `"${getTableName(table)}" (${Object.values(getTableColumns(table))
    .map(({ name }) => `"${name}"`)
    .join(', ')})`;

const marks = (table: Table) =>
  Object.keys(getTableColumns(table))
    .map(() => '?')
    .join(', ');
