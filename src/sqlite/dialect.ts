import { aliasedTable, type Column, getTableColumns, getTableName, type SQL, sql, type Table } from 'drizzle-orm';
import { SQLiteSyncDialect } from 'drizzle-orm/sqlite-core';
import type { RawJson } from '../codecs/json.ts';
import { encodeTimestamp, parseTimestamp } from '../codecs/timestamp.ts';
import type { AuditedInsert, AuditedUpdate, BulkRows, Dialect } from '../driver/dialect.ts';
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

/** The clock of this process, as the statement runs: behind the lock. A read, which waits for none, binds a Date. */
const NOW = bound('now', (now: unknown) => (now instanceof Date ? encodeTimestamp(now, 'now') : now));

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
  notAfter: (column, time) =>
    sql`case when length(${column}) = 24 then ${column} <= ${time} else unixepoch(${column}, 'subsec') <= unixepoch(${time}, 'subsec') end`,
  iso: (time, later) =>
    later ? sql`strftime('%Y-%m-%dT%H:%M:%fZ', ${time}, (${bound(later)} / 1000.0) || ' seconds')` : time,
  now: (clock) => (clock === 'given' ? given() : NOW),
  ordered: (column) => sql`${column}`, // its texts compare byte by byte
  lockRow: (table, columns, where) => sql`select ${columns} from ${table} where ${where}`, // there is one writer
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
      select value, key as position from json_each(${column})
      union all select value, 1000000 + min(key) from json_each(${bound(name, jsonText)})
      where value not in (select value from json_each(${column})) group by value
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
  isJson: (column, type) => sql`json_type(${column}) = ${sql.raw(`'${type}'`)}`,
  differs: (column, value) => sql`${value} is not ${column}`,
  lacking: (column, name) => elements(name, sql`value not in (select value from json_each(${column}))`),
  holding: (column, name) => elements(name, sql`value in (select value from json_each(${column}))`),
  changedMembers: (column, names, members) =>
    elements(
      names,
      sql`value not in (with new as materialized (select key, type, value from json_each(${bound(members, objectText)})), old as materialized (select key, type, value from json_each(${column})) select new.key from new inner join old on old.key = new.key where old.type = new.type and old.value is new.value)`,
    ),
  namesWhere: (named) =>
    sql`json((select json_group_array(name) from (${sql.join(
      named.map(([name, condition]) => sql`select ${sql.raw(`'${name}'`)} as name where ${condition}`),
      sql` union all `,
    )})))`,
  memberWhere: (object, name, value, condition) =>
    sql`case when ${condition} then json_set(${object}, ${sql.raw(`'$.${name}'`)}, ${value}) else ${object} end`,
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

  auditedInsert,
  auditedUpdate,
  bulk: { chunkRows: CHUNK_ROWS, chunkChars: CHUNK_CHARS },
  bulkInsert,
  searchIndex,
  storedJson: String,
  instantAfter: (clock, incident) => (clock === 'given' ? given() : sql`max(${NOW}, ${next(newestOf(incident))})`),
  instant: sql`select at, at from (select strftime('%Y-%m-%dT%H:%M:%fZ', 'now') as at)`,
};

/** Of one function SQLite takes 1,000. */
const MOST_ARGUMENTS = 900;

/** Those of a bound JSON array of strings that fit, in their order. */
const elements = (name: string, condition: SQL) =>
  sql`json((select json_group_array(value order by key) from json_each(${bound(name, jsonText)}) as given where ${condition}))`;

const objectText = (pairs: Pairs) => `{${pairs.map(([key, { text }]) => `${JSON.stringify(key)}:${text}`).join(',')}}`;

type Pairs = readonly (readonly [string, RawJson])[];
const jsonText = (json: RawJson | undefined) => json?.text;

const given = () => dialect.value(tables.auditLogs.createdAt, 'now');

/** A millisecond later; before all others where there is none. */
const next = (time: SQL | Column) => sql`coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', ${time}, '+0.001 seconds'), '')`;

/** When the newest entry of an incident was written: another process may have a clock that is ahead. */
const newestOf = (incident: SQL | Column) =>
  sql`(select max(trail.created_at) from ${tables.auditLogs} as trail where trail.incident_id = ${incident})`;

const entry = (select: SQL) => sql`insert into ${tables.auditLogs} (${columnNames(tables.auditLogs)}) ${select}`;

/** The entry's instant is that of the row, which is the one that was bound where nothing is in the trail before. */
function auditedInsert({ table, clock, values, dated, incident, audit }: AuditedInsert): readonly SQL[] {
  const columns = Object.entries(getTableColumns<Table>(table));
  const isFirst = clock === 'given' || table === tables.incidents;
  const at = isFirst ? (clock === 'given' ? given() : NOW) : sql`at`;
  const row = sql.join(
    columns.map(([key]) => (dated.includes(key) ? at : sql`${values[key]}`)),
    sql`, `,
  );
  const insert = sql`insert into ${table} (${columnNames(table)})`;
  if (isFirst) return [sql`${insert} values (${row})`, entry(sql`values (${sql.join([...audit, at], sql`, `)})`)];
  const dates = columns.filter(([key]) => dated.includes(key)).map(([, column]) => column);
  const instant = sql`(select ${sql.join(dates.slice(0, 1))} from ${table} where ${idOf(table)} = ${values.id})`;
  return [
    sql`${insert} select ${row} from (select ${dialect.instantAfter(clock, incident)} as at)`,
    sql`${entry(sql`values (${sql.join([...audit, instant], sql`, `)})`)} returning created_at`,
  ];
}

/** The audit rows first, from the rows as they still are; then the change, by the same condition, at the instant of the first of them. */
function auditedUpdate({ table, where, one, first, clock, set, audit, several }: AuditedUpdate): readonly SQL[] {
  const subject = aliasedTable(table, 'subject');
  const { updatedAt, incidentId, id } = getTableColumns<Table>(subject);
  const fits = (row: Table) => (one ? sql`${where(row)} and ${one.guard(row)} and ${one.differs(row)}` : where(row));
  const chosen = (row: Table) =>
    first ? sql`${fits(row)} order by ${first.orderBy(row)} limit ${dialect.limit(first.limit)}` : fits(row);
  const by = first?.index ? dialect.by(first.index) : sql``;
  // a subquery where rows are counted out, so that they are numbered as they were chosen
  const source = first
    ? sql`(select * from ${table}${by} where ${chosen(table)}) as "subject"`
    : sql`${table} as "subject" where ${fits(subject)}`;
  const now = clock === 'given' ? given() : NOW;
  const trail = clock === 'given' ? now : sql`max(${now}, ${next(newestOf(incidentId ?? (id as Column)))})`;
  // a time that a caller gave may lie far ahead: it moves on by itself, and takes no entry along
  const at = updatedAt
    ? sql`max(${trail}, case when ${updatedAt} < strftime('%Y-%m-%dT%H:%M:%fZ', ${trail}, '+1 seconds') then ${next(updatedAt)} else '' end)`
    : trail;
  const audits = tables.auditLogs;
  // '' where the entry was dropped: the driver sees that, and undoes the change
  const instant = several
    ? sql`coalesce(${newestOf(getTableColumns<Table>(table).incidentId as Column)}, '')`
    : sql`coalesce((select ${audits.createdAt} from ${audits} where ${audits.id} = ${dialect.value(audits.id as Column, 'audit_id')}), '')`;
  const grown = (value: SQL, key: string) => {
    const { updatedAt: column } = getTableColumns<Table>(table);
    return key === 'updatedAt' && value === instant && column
      ? sql`max(${instant}, case when ${column} >= '9999-12-31T23:59:59.999' then ${column} else ${next(column)} end)`
      : value;
  };
  const values = Object.fromEntries(
    Object.entries(set(table, instant)).map(([key, value]) => [key, grown(value, key)]),
  );
  const log = entry(sql`select ${sql.join([...audit(subject, at), at], sql`, `)} from ${source}`);
  const update = sql`update ${table} set ${assignments(table, values)} where ${
    first ? sql`${idOf(table)} in (select ${idOf(table)} from ${table}${by} where ${chosen(table)})` : fits(table)
  }`;
  if (!one) return [log, sql`${update} returning ${columnNames(table)}`];
  return [
    log,
    update,
    sql`select ${columnNames(table)}, changes(), ${one.guard(table)} from ${table} where ${where(table)}`,
  ];
}

function bulkInsert({ table, rows, trail, ignoreConflicts }: BulkRows): readonly Query[] {
  const audit = tables.auditLogs;
  const insert = `insert into ${named(table)} values (${marks(table)})`;
  const log = `insert into ${named(audit)} values (${marks(audit)})`;
  if (!ignoreConflicts)
    return [
      { sql: insert, params: [], each: rows, reads: false },
      ...(trail.length ? [{ sql: log, params: [], each: trail, reads: false, asMany: true }] : []),
    ];
  // each audit row right behind its row: only if that was inserted
  return [
    ...rows.flatMap((params, i) => [
      { sql: `${insert} on conflict do nothing`, params, reads: false },
      {
        sql: `insert into ${named(audit)} select ${marks(audit)} where changes() = 1`,
        params: trail[i] ?? [],
        reads: false,
        asMany: true,
      },
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
