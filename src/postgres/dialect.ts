import { aliasedTable, type Column, getTableColumns, getTableName, type SQL, sql, type Table } from 'drizzle-orm';
import { PgDialect } from 'drizzle-orm/pg-core';
import { foldAscii } from '../codecs/fold-ascii.ts';
import { RawJson } from '../codecs/json.ts';
import { fromJsonb, JSONB_MARKER, toJsonb, toJsonbString } from '../codecs/jsonb.ts';
import { parseTimestamp } from '../codecs/timestamp.ts';
import type { AuditedInsert, AuditedUpdate, BulkRows, Dialect } from '../driver/dialect.ts';
import { jsonNeedle, likePattern } from '../driver/like.ts';
import type { Query } from '../driver/port.ts';
import { bound } from '../driver/statement.ts';
import { isStorable } from '../model/fields.ts';
import { asTables, type Tables } from '../repositories/tables.ts';
import * as schema from './schema.ts';
import { searchIndex } from './search-index.ts';

const writer = new PgDialect();
const tables: Tables = asTables(schema);

/** A bulk insert's statement is one JSON text: small enough for the server's memory, large enough to fill its time. */
const CHUNK_ROWS = 250;
const CHUNK_CHARS = 2_000_000;

/** How the server writes a time in UTC. */
const TIMESTAMP = /^(?!0000)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00( BC)?$/;

const type = (column: Column) => sql.raw(column.getSQLType());

const names = (table: Table) =>
  sql.join(
    Object.values(getTableColumns(table)).map((column) => sql.identifier(column.name)),
    sql`, `,
  );

const assignments = (table: Table, set: Readonly<Record<string, SQL>>) =>
  sql.join(
    Object.entries(set).map(
      ([key, value]) => sql`${sql.identifier(getTableColumns(table)[key]?.name ?? key)} = ${value}`,
    ),
    sql`, `,
  );

const idOf = (table: Table) => getTableColumns(table).id as Column; // audited tables have an id

const json = (name: string) => sql`${bound(name, toJsonb)}::jsonb`;
// the collation "C" folds ASCII letters and no others, and compares bytes
const folded = (text: SQL) => sql`lower(${text} collate "C")`;

/** As other columns keep an instant: cut, not rounded into the future. */
const milliseconds = (instant: SQL) => sql`date_trunc('milliseconds', ${instant})`;

export const dialect: Dialect = {
  name: 'postgres',
  tables,
  write: (statement) => writer.sqlToQuery(statement),

  value: (column, name) => sql`${bound(name, (value: unknown) => column.mapToDriverValue(value))}::${type(column)}`,
  // timestamptz, not timestamptz(3): where another writer's schema keeps microseconds, they count
  stored: (column, name) =>
    sql`${bound(name)}::${column.getSQLType().startsWith('timestamp') ? sql.raw('timestamptz') : type(column)}`,
  json,
  later: (column, name) =>
    sql`least(greatest(${dialect.value(column, name)}, ${column} + interval '1 millisecond'), '9999-12-31T23:59:59.999Z'::timestamptz)`,
  sameInstant: (column, name) => sql`${column} = ${dialect.value(column, name)}`,
  isStored: (column, value) => {
    const type = column.getSQLType();
    if (type === 'integer') return isInteger(value, 32);
    if (type === 'bigint') return isInteger(value, 64);
    if (typeof value !== 'string') return false;
    return type.startsWith('timestamp') ? TIMESTAMP.test(value) && parseTimestamp(value) !== null : isStorable(value);
  },
  notAfter: (column, time) => sql`${column} <= ${time}`,
  iso: (time, later) =>
    sql`to_char((${time}${later ? sql` + ${bound(later)}::double precision * interval '1 millisecond'` : sql``}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
  now: (clock) => (clock === 'given' ? given() : milliseconds(sql`clock_timestamp()`)),
  ordered: (column) => (column.getSQLType() === 'text' ? sql`${column} collate "C"` : sql`${column}`),
  // one plan however many sets there are
  each: (lists, select) => {
    const named = lists.map((list, i) => ({
      rows: sql`(values ${sql.join(
        list.map((value) => sql`(${value})`),
        sql`, `,
      )}) as ${sql.identifier(`each${i}`)} (value)`,
      value: sql`${sql.identifier(`each${i}`)}.value`,
    }));
    return sql`select part.* from ${sql.join(
      named.map(({ rows }) => rows),
      sql` cross join `,
    )} cross join lateral (${select(named.map(({ value }) => value))}) as part`;
  },
  knowsRows: true,
  by: () => sql``, // its statistics are kept by autovacuum
  // a write, though it changes nothing: a transaction that began before another one had the lock must not go on with what it saw then
  lockRow: (table, columns, where) => sql`update ${table} set id = id where ${where} returning ${columns}`,
  lockTable: (table) => [sql`lock table ${table} in share row exclusive mode`],
  limit: (name) => sql`${bound(name)}`,
  // not FOR UPDATE: that would also wait for every insert whose foreign key refers to the row, and dead-lock with it
  forUpdate: ({ skipLocked } = { skipLocked: false }) =>
    skipLocked ? sql` for no key update skip locked` : sql` for no key update`,

  includes: (column, name) =>
    sql`${column} @> ${bound(name, (text: string) => JSON.stringify([toJsonbString(text)]))}::jsonb`,
  textEquals: (column, name) => sql`${folded(sql`${column}`)} = ${bound(name, foldAscii)}`,
  textContains: (column, name) =>
    sql`${folded(sql`${column}`)} like ${bound(name, (text: string) => likePattern(foldAscii(text)))} escape '\\'`,
  jsonContains: (column, name) =>
    sql`${folded(sql`${column}::text`)} like ${bound(name, (text: string) =>
      likePattern(foldAscii(jsonNeedle(toJsonbString(text)))),
    )} escape '\\'`,

  append: (column, name) => sql`${column} || jsonb_build_array(${json(name)})`,
  union: (column, name) => sql`${column} || (
    select coalesce(jsonb_agg(value order by position), '[]'::jsonb) from (
      select value, min(position) as position from jsonb_array_elements(${json(name)}) with ordinality as added (value, position)
      where not ${column} @> jsonb_build_array(value) group by value
    ) as missing)`,
  except: (column, name) => sql`(
    select coalesce(jsonb_agg(value order by position), '[]'::jsonb)
    from jsonb_array_elements(${column}) with ordinality as kept (value, position)
    where value not in (select jsonb_array_elements(${json(name)})))`,
  merge: (column, name) => sql`${column} || ${objectBound(name)}`,
  isJson: (column, type) => sql`jsonb_typeof(${column}) = ${sql.raw(`'${type}'`)}`,
  differs: (column, value) =>
    column.getSQLType() === 'jsonb'
      ? sql`(${value})::text is distinct from ${column}::text`
      : sql`${value} is distinct from ${column}`,
  lacking: (column, name) => elements(name, sql`not ${column} @> jsonb_build_array(value)`),
  holding: (column, name) => elements(name, sql`${column} @> jsonb_build_array(value)`),
  changedMembers: (column, names, members) =>
    elements(
      names,
      sql`(${column} -> (value #>> '{}'))::text is distinct from (${objectBound(members)} -> (value #>> '{}'))::text`,
    ),
  namesWhere: (named) =>
    sql`(select coalesce(jsonb_agg(name order by position), '[]'::jsonb) from (values ${sql.join(
      named.map(([name, condition], i) => sql`(${sql.raw(`'${name}'`)}, ${condition}, ${sql.raw(String(i))})`),
      sql`, `,
    )}) as named (name, differs, position) where differs)`,
  memberWhere: (object, name, value, condition) =>
    sql`${object} || case when ${condition} then ${dialect.object({ [name]: value })} else '{}'::jsonb end`,
  jsonText: (column, path) => sql`(${column} #>> ${sql.raw(`'{${path.join(',')}}'`)}) collate "C"`,

  day: (column) => sql`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD')`,
  millisecondsBetween: (from, to) => sql`round(extract(epoch from (${to} - ${from})) * 1000)`,
  estimate: {
    of: (select) => sql`explain (format json) ${select}`,
    read: (value) => {
      const [plan] = JSON.parse(String(value)) as [{ Plan: { 'Plan Rows': number } }];
      return plan.Plan['Plan Rows'];
    },
  },

  object: (members) =>
    sql`jsonb_build_object(${sql.join(
      Object.entries(members).flatMap(([key, value]) => [sql.raw(`'${key}'`), value]),
      sql`, `,
    )})`,
  jsonString: (expression) =>
    sql`to_jsonb(replace(${expression}::text, ${sql.raw(`'${JSONB_MARKER.plain}'`)}, ${sql.raw(`'${JSONB_MARKER.escaped}'`)}))`,
  nth: (column, name) => sql`(${bound(name)}::jsonb ->> (row_number() over () - 1)::integer)::${type(column)}`,

  auditedInsert,
  auditedUpdate,
  bulk: { chunkRows: CHUNK_ROWS, chunkChars: CHUNK_CHARS },
  bulkInsert,
  searchIndex,
  storedJson: (value) => fromJsonb(String(value)),
  instantAfter: (clock, incident) =>
    clock === 'given' ? given() : sql`greatest(clock_timestamp(), ${newestOf(incident)} + interval '1 microsecond')`,
  instant: sql`select at, ${milliseconds(sql`at`)} from (select clock_timestamp() as at offset 0) as clock`,
};

/** Whether a column of this many bits can hold it: its least and its greatest value included. */
function isInteger(value: unknown, bits: number): boolean {
  if (typeof value === 'string' ? !/^-?\d{1,20}$/.test(value) : !Number.isInteger(value)) return false;
  const integer = BigInt(value as string | number);
  return BigInt.asIntN(bits, integer) === integer;
}

type Pairs = readonly (readonly [string, RawJson])[];
const objectOf = (pairs: Pairs) =>
  new RawJson(`{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${value.text}`).join(',')}}`, 0, false);

const objectBound = (name: string) => sql`${bound(name, (pairs: Pairs) => toJsonb(objectOf(pairs)))}::jsonb`;

/** Those of a bound JSON array that fit, in their order. */
const elements = (name: string, condition: SQL) =>
  sql`(select coalesce(jsonb_agg(value order by position), '[]'::jsonb) from jsonb_array_elements(${json(name)}) with ordinality as given (value, position) where ${condition})`;

const given = () => dialect.value(tables.auditLogs.createdAt, 'now');

/** When the newest entry of an incident was written. A server that was a standby may have a clock that is behind it. */
const newestOf = (incident: SQL) =>
  sql`(select max(trail.created_at) from ${tables.auditLogs} as trail where trail.incident_id = ${incident})`;

/** In the place of a LIMIT: fails the statement (22012) where a change and its audit rows are not as many. */
const asMany = (changed: string) =>
  sql.raw(
    `(select case when changes = entries then null else 1 / (entries - entries) end from (select (select count(*) from ${changed}) as changes, (select count(*) from "logged") as entries) as counted)`,
  );

const AT = sql`(select at from "moment")`;

const entries = (select: SQL) =>
  sql`"logged" as (insert into ${tables.auditLogs} (${names(tables.auditLogs)}) ${select} returning 1)`;

/** One statement, so one round trip and no BEGIN and COMMIT; foreign keys are checked at its end. */
function auditedInsert({ table, clock, values, dated, incident, audit }: AuditedInsert): readonly SQL[] {
  const columns = Object.entries(getTableColumns<Table>(table)).map(([key, column]) =>
    dated.includes(key) ? sql`${milliseconds(AT)}` : sql`${values[key] ?? dialect.value(column, key)}`,
  );
  // a new incident has no trail yet
  const at =
    table === tables.incidents && clock === 'database' ? sql`clock_timestamp()` : dialect.instantAfter(clock, incident);
  return [
    sql`with "moment" as materialized (select ${at} as at), "added" as (insert into ${table} (${names(table)}) values (${sql.join(columns, sql`, `)}) returning 1), ${entries(
      sql`values (${sql.join([...audit, AT], sql`, `)})`,
    )} select ${milliseconds(sql`at`)} from "moment" limit ${asMany('"added"')}`,
  ];
}

/**
 * One statement: the rows are locked, then the clock is read, then they are changed, and the audit rows written of what they were. A change
 * of the clock's time, or of the server, does not turn the order around: `updated_at` is read under the lock, too.
 */
function auditedUpdate({ table, where, one, first, clock, set, audit }: AuditedUpdate): readonly SQL[] {
  const subject = aliasedTable(table, 'subject');
  const { updatedAt, incidentId, id } = getTableColumns<Table>(subject);
  const order = first ? sql` order by ${first.orderBy(table)} limit ${dialect.limit(first.limit)}` : sql``;
  const lock = dialect.forUpdate({ skipLocked: first?.skipLocked ?? false });
  const locked = sql`select * from ${table} where ${where(table)}${order}${lock}`;
  const present = clock === 'given' ? given() : sql`clock_timestamp()`;
  const trail = clock === 'given' ? sql`null` : newestOf(sql`${incidentId ?? id}`);
  // a time that a caller gave may lie far ahead: it moves on by itself, and takes no entry along
  const grown = updatedAt
    ? sql`case when ${updatedAt} < greatest(${present}, newest) + interval '1 second' then ${updatedAt} + interval '1 millisecond' end`
    : sql`null`;
  const latest = sql`'9999-12-31T23:59:59.999Z'::timestamptz`;
  // each behind its lock, and behind the trail of its own incident
  const moments = sql`select "subject".id, least(greatest(${present}, newest + interval '1 microsecond', ${grown}), ${latest}) as at from "subject" cross join lateral (select ${trail}::timestamptz as newest) as newest`;
  const at = (row: Table) => sql`(select at from "moment" where "moment".id = ${idOf(row)})`;
  const instant = milliseconds(at(table));
  const values = set(table, instant);
  const grows = (value: SQL, key: string) =>
    key === 'updatedAt' && value === instant
      ? sql`least(greatest(${instant}, ${getTableColumns<Table>(table).updatedAt} + interval '1 millisecond'), ${latest})`
      : value;
  const changed = sql`"changed" as (update ${table} set ${assignments(table, Object.fromEntries(Object.entries(values).map(([key, value]) => [key, grows(value, key)])))} where ${idOf(table)} in (select id from "subject") returning ${names(table)})`;
  const rest = sql`"moment" as materialized (${moments}), ${changed}, ${entries(
    sql`select ${sql.join([...audit(subject, milliseconds(at(subject))), at(subject)], sql`, `)} from "subject"`,
  )}`;
  const limit = asMany('"changed"');
  if (!one)
    return [
      sql`with "subject" as materialized (${locked}), ${rest} select ${names(table)} from "changed" limit ${limit}`,
    ];
  const row = aliasedTable(table, 'row');
  return [
    sql`with "row" as materialized (${locked}), "subject" as materialized (select * from "row" where ${one.guard(row)} and ${one.differs(row)}), ${rest} select ${names(table)}, true, true from "changed" union all select ${names(table)}, false, ${one.guard(row)} from "row" where not exists (select 1 from "subject") limit ${limit}`,
  ];
}

/** One statement: rows and their audit rows. Without any, and without conflicts to pass over, a plain insert. */
function bulkInsert({ table, rows, trail, ignoreConflicts }: BulkRows): readonly Query[] {
  const audit = tables.auditLogs;
  const insert = insertInOrder(table, '$1');
  if (!trail.length) return [{ sql: insert, params: [recordset(table, rows)], reads: false }];
  const added = ignoreConflicts ? `${insert} on conflict do nothing` : insert;
  const { sql: limit } = dialect.write(asMany('"added"'));
  return [
    {
      sql: `with "added" as (${added} returning id), "logged" as (${insertSelect(audit, '$2')} where incident_id in (select id from "added") returning 1) select id from "added" limit ${limit}`,
      params: [recordset(table, rows), recordset(audit, trail)],
      reads: false,
    },
  ];
}

/** An insert of the rows that stand in a JSON array. */
function insertSelect(table: Table, parameter: string): string {
  const columns = Object.values(getTableColumns(table));
  const list = columns.map(({ name }) => `"${name}"`).join(', ');
  // jsonb_to_recordset makes SQL's NULL of JSON's null
  const selected = columns
    .map((column) =>
      column.notNull && column.getSQLType() === 'jsonb'
        ? `coalesce("${column.name}", 'null'::jsonb)`
        : `"${column.name}"`,
    )
    .join(', ');
  const record = columns.map((column) => `"${column.name}" ${column.getSQLType()}`).join(', ');
  return `insert into "${getTableName(table)}" (${list}) select ${selected} from jsonb_to_recordset(${parameter}::jsonb) as rows (${record})`;
}

/** In one order everywhere: of two inserts of the same ids one waits for the other, and none for each other. */
function insertInOrder(table: Table, parameter: string): string {
  return `${insertSelect(table, parameter)} order by id`;
}

const recordset = (table: Table, rows: readonly (readonly unknown[])[]) =>
  `[${rows.map(rowWriter(Object.values(getTableColumns(table)))).join(',')}]`;

/** An encoded row as the text of a JSON object. A JSON column's value is JSON already; NULL is left out. */
function rowWriter(columns: readonly Column[]): (row: readonly unknown[]) => string {
  const parts = columns.map((column) => ({
    start: `${JSON.stringify(column.name)}:`,
    isJson: column.getSQLType() === 'jsonb',
  }));
  return (row) => {
    const members: string[] = [];
    parts.forEach(({ start, isJson }, i) => {
      const value = row[i];
      if (value !== null) members.push(start + (isJson ? String(value) : JSON.stringify(value)));
    });
    return `{${members.join(',')}}`;
  };
}
