import 'reflect-metadata';
import { DataSource, EntitySchema, type EntitySchemaColumnOptions, In } from 'typeorm';
import type { AuditLog, Incident } from '../library.ts';
import { auditRow, createdEntry, incidentRow } from '../raw-driver.ts';
import { fileOf, isSqlite, type Open } from './peer.ts';

const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

export const openTypeorm: Open = async (url) => {
  const sqlite = isSqlite(url);
  const text = (key: string, nullable = false): EntitySchemaColumnOptions => ({
    name: snake(key),
    type: 'text',
    nullable,
  });
  const id = (key: string, primary = false): EntitySchemaColumnOptions => ({
    name: snake(key),
    type: sqlite ? 'text' : 'uuid',
    primary,
  });
  const json = (key: string, nullable = false): EntitySchemaColumnOptions => ({
    name: snake(key),
    type: sqlite ? 'simple-json' : 'jsonb',
    nullable,
  });
  const time = (key: string): EntitySchemaColumnOptions =>
    sqlite
      ? {
          name: snake(key),
          type: 'text',
          transformer: {
            to: (date: Date) => date?.toISOString?.() ?? date,
            from: (stored: string) => stored && new Date(stored),
          },
        }
      : { name: snake(key), type: 'timestamptz', precision: 3 };
  const incidents = new EntitySchema<Incident>({
    name: 'Incident',
    tableName: 'incidents',
    columns: {
      id: id('id', true),
      source: json('source'),
      severity: text('severity'),
      status: text('status'),
      alertData: json('alertData'),
      enrichments: json('enrichments'),
      analysis: json('analysis', true),
      proposedActions: json('proposedActions'),
      ticketId: text('ticketId', true),
      tags: json('tags'),
      metadata: json('metadata'),
      createdAt: time('createdAt'),
      updatedAt: time('updatedAt'),
    },
  });
  const auditLogs = new EntitySchema<AuditLog>({
    name: 'AuditLog',
    tableName: 'audit_logs',
    columns: {
      id: id('id', true),
      incidentId: id('incidentId'),
      action: text('action'),
      actor: text('actor'),
      details: json('details', true),
      createdAt: time('createdAt'),
    },
  });
  const source = new DataSource({
    ...(sqlite
      ? {
          type: 'better-sqlite3' as const,
          database: fileOf(url),
          enableWAL: true,
          prepareDatabase: (database: { pragma(text: string): void }) => database.pragma('synchronous = FULL'),
        }
      : { type: 'postgres' as const, url, poolSize: 10 }),
    entities: [incidents, auditLogs],
  });
  await source.initialize();
  const incident = source.getRepository(incidents);
  return {
    name: 'TypeORM',
    getIncident: (wanted) => incident.findOneBy({ id: wanted }),
    listTriage: () =>
      incident.find({
        where: { status: In(['new', 'enriching']), severity: In(['high', 'critical']) },
        order: { createdAt: 'DESC', id: 'DESC' },
        take: 50,
      }),
    async appendAudit(log) {
      const row = auditRow(log);
      await source.manager.insert('AuditLog', row);
      return row;
    },
    createIncident: (input) =>
      source.transaction(async (manager) => {
        const row = incidentRow(input);
        await manager.insert('Incident', row);
        await manager.insert('AuditLog', createdEntry(row));
        return row;
      }),
    close: () => source.destroy(),
  };
};
