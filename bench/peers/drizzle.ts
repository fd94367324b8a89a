import Database from 'better-sqlite3';
import { and, desc, eq, inArray, sql } from 'drizzle-orm';
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3';
import { drizzle as drizzlePostgres } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import type { AuditLog, Incident } from '../library.ts';
import { auditRow, createdEntry, incidentRow } from '../raw-driver.ts';
import { fileOf, isSqlite, type Open, type Peer } from './peer.ts';

const LIMIT = 50;

/** Drizzle as most use it: the query is built at every call; or prepared once, where it can be. */
export const openDrizzle =
  (prepared: boolean): Open =>
  async (url) => {
    const name = `Drizzle, ${prepared ? 'prepared' : 'plain'}`;
    return isSqlite(url) ? sqlite(name, fileOf(url), prepared) : onPostgres(name, url, prepared);
  };

async function sqlite(name: string, file: string, prepared: boolean): Promise<Peer> {
  const { incidents, auditLogs } = await import('../../src/sqlite/schema.ts');
  const client = new Database(file);
  for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON']) client.pragma(pragma);
  const db = drizzleSqlite(client);
  const one = () =>
    db
      .select()
      .from(incidents)
      .where(eq(incidents.id, sql.placeholder('id')));
  const list = () =>
    db
      .select()
      .from(incidents)
      .where(and(inArray(incidents.status, ['new', 'enriching']), inArray(incidents.severity, ['high', 'critical'])))
      .orderBy(desc(incidents.createdAt), desc(incidents.id))
      .limit(LIMIT);
  const [preparedOne, preparedList] = [one().prepare(), list().prepare()];
  return {
    name,
    getIncident: async (id) =>
      prepared ? preparedOne.get({ id }) : db.select().from(incidents).where(eq(incidents.id, id)).get(),
    listTriage: async () => (prepared ? preparedList.all() : list().all()),
    appendAudit: async (log) => db.insert(auditLogs).values(auditRow(log)).returning().get(),
    createIncident: async (incident) =>
      db.transaction((tx) => {
        const row = incidentRow(incident);
        tx.insert(incidents)
          .values(row as Incident & { result?: never })
          .run();
        tx.insert(auditLogs).values(createdEntry(row)).run();
        return row;
      }),
    close: async () => client.close(),
  };
}

async function onPostgres(name: string, url: string, prepared: boolean): Promise<Peer> {
  const { incidents, auditLogs } = await import('../../src/postgres/schema.ts');
  const client = postgres(url, { max: 10, onnotice: () => {} });
  const db = drizzlePostgres(client);
  const one = () =>
    db
      .select()
      .from(incidents)
      .where(eq(incidents.id, sql.placeholder('id')));
  const list = () =>
    db
      .select()
      .from(incidents)
      .where(and(inArray(incidents.status, ['new', 'enriching']), inArray(incidents.severity, ['high', 'critical'])))
      .orderBy(desc(incidents.createdAt), desc(incidents.id))
      .limit(LIMIT);
  const [preparedOne, preparedList] = [one().prepare('one'), list().prepare('list')];
  return {
    name,
    getIncident: async (id) =>
      (prepared ? preparedOne.execute({ id }) : db.select().from(incidents).where(eq(incidents.id, id)))?.then(
        ([row]) => row,
      ),
    listTriage: async () => (prepared ? preparedList.execute() : list()),
    appendAudit: async (log) =>
      (
        await db
          .insert(auditLogs)
          .values(auditRow(log) as AuditLog)
          .returning()
      )[0],
    createIncident: async (incident) =>
      db.transaction(async (tx) => {
        const row = incidentRow(incident);
        await tx.insert(incidents).values(row as Incident & { result?: never });
        await tx.insert(auditLogs).values(createdEntry(row));
        return row;
      }),
    close: () => client.end(),
  };
}
