import Database from 'better-sqlite3';
import { CamelCasePlugin, Kysely, PostgresDialect, SqliteDialect } from 'kysely';
import pg from 'pg';
import type { AuditLog, Incident } from '../library.ts';
import { auditRow, createdEntry, incidentRow } from '../raw-driver.ts';
import { fileOf, isSqlite, JSON_KEYS, type Open, parsed, written } from './peer.ts';

type Loose<Row> = { [K in keyof Row]: never };
interface Schema {
  incidents: Loose<Incident>;
  auditLogs: Loose<AuditLog>;
}

export const openKysely: Open = async (url) => {
  const sqlite = isSqlite(url);
  const dialect = sqlite
    ? new SqliteDialect({ database: openFile(fileOf(url)) })
    : new PostgresDialect({ pool: new pg.Pool({ connectionString: url, max: 10 }) });
  const db = new Kysely<Schema>({ dialect, plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })] });
  // pg makes PostgreSQL arrays of JavaScript's: JSON has to be text
  const forPostgres = (row: Incident | AuditLog) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [
        key,
        value !== null && ((JSON_KEYS as readonly string[]).includes(key) || key === 'details')
          ? JSON.stringify(value)
          : value,
      ]),
    );
  const encode = (row: Incident | AuditLog) => (sqlite ? written(row) : forPostgres(row)) as never;
  const decode = <Row extends object>(row: Row | undefined) => (row && sqlite ? parsed(row) : row);
  return {
    name: 'Kysely',
    getIncident: async (id) =>
      decode(
        await db
          .selectFrom('incidents')
          .selectAll()
          .where('id', '=', id as never)
          .executeTakeFirst(),
      ),
    listTriage: async () =>
      (
        await db
          .selectFrom('incidents')
          .selectAll()
          .where('status', 'in', ['new', 'enriching'] as never)
          .where('severity', 'in', ['high', 'critical'] as never)
          .orderBy('createdAt', 'desc')
          .orderBy('id', 'desc')
          .limit(50)
          .execute()
      ).map(decode),
    appendAudit: async (log) =>
      decode(
        await db
          .insertInto('auditLogs')
          .values(encode(auditRow(log)))
          .returningAll()
          .executeTakeFirst(),
      ),
    createIncident: (incident) =>
      db.transaction().execute(async (tx) => {
        const row = incidentRow(incident);
        await tx.insertInto('incidents').values(encode(row)).execute();
        await tx
          .insertInto('auditLogs')
          .values(encode(createdEntry(row)))
          .execute();
        return row;
      }),
    close: () => db.destroy(),
  };
};

function openFile(file: string): Database.Database {
  const database = new Database(file);
  for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON']) database.pragma(pragma);
  return database;
}
