import { EntitySchema, type MikroORM, Type } from '@mikro-orm/core';
import { MikroORM as Postgres } from '@mikro-orm/postgresql';
import { MikroORM as Sqlite } from '@mikro-orm/sqlite';
import { auditRow, createdEntry, incidentRow } from '../raw-driver.ts';
import { fileOf, isSqlite, type Open } from './peer.ts';

/** Times as the schema has them on SQLite: ISO 8601 text. */
class IsoText extends Type<Date, string> {
  override convertToDatabaseValue(date: Date | string): string {
    return date instanceof Date ? date.toISOString() : date;
  }
  override convertToJSValue(text: string | Date): Date {
    return text instanceof Date ? text : new Date(text);
  }
  override getColumnType(): string {
    return 'text';
  }
}

export const openMikroOrm: Open = async (url) => {
  const sqlite = isSqlite(url);
  const id = { type: sqlite ? 'string' : 'uuid', primary: true as const };
  const json = { type: 'json' };
  const time = sqlite ? { type: IsoText } : { type: 'datetime', length: 3 };
  const incidents = new EntitySchema<Record<string, unknown>>({
    name: 'Incident',
    tableName: 'incidents',
    properties: {
      id,
      source: json,
      severity: { type: 'string' },
      status: { type: 'string' },
      alertData: json,
      enrichments: json,
      analysis: { type: 'json', nullable: true },
      proposedActions: json,
      ticketId: { type: 'string', nullable: true },
      tags: json,
      metadata: json,
      createdAt: time,
      updatedAt: time,
    } as never,
  });
  const auditLogs = new EntitySchema<Record<string, unknown>>({
    name: 'AuditLog',
    tableName: 'audit_logs',
    properties: {
      id,
      incidentId: { type: sqlite ? 'string' : 'uuid' },
      action: { type: 'string' },
      actor: { type: 'string' },
      details: { type: 'json', nullable: true },
      createdAt: time,
    } as never,
  });
  const common = { entities: [incidents, auditLogs], discovery: { warnWhenNoEntities: false } };
  const orm = (sqlite
    ? await Sqlite.init({ ...common, dbName: fileOf(url) })
    : await Postgres.init({ ...common, clientUrl: url, pool: { min: 0, max: 10 } })) as unknown as MikroORM;
  if (sqlite)
    for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON'])
      await orm.em.getConnection().execute(`pragma ${pragma}`);
  return {
    name: 'MikroORM',
    getIncident: (wanted) => orm.em.fork().findOne(incidents, { id: wanted } as never),
    listTriage: () =>
      orm.em
        .fork()
        .find(incidents, { status: { $in: ['new', 'enriching'] }, severity: { $in: ['high', 'critical'] } } as never, {
          orderBy: { createdAt: 'desc', id: 'desc' } as never,
          limit: 50,
        }),
    async appendAudit(log) {
      const row = auditRow(log);
      await orm.em.fork().insert(auditLogs, row as never);
      return row;
    },
    createIncident: (input) =>
      orm.em.fork().transactional(async (em) => {
        const row = incidentRow(input);
        await em.insert(incidents, row as never);
        await em.insert(auditLogs, createdEntry(row) as never);
        return row;
      }),
    close: () => orm.close(true),
  };
};
