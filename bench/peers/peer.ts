import type { AuditLog, Incident, NewAuditLog, NewIncident } from '../library.ts';

/** The same work on the same schema; answers the same objects: JSON parsed, Dates made. */
export interface Peer {
  readonly name: string;
  getIncident(id: string): Promise<unknown>;
  /** The newest 50 that are new or being enriched, and high or critical. */
  listTriage(): Promise<readonly unknown[]>;
  appendAudit(log: NewAuditLog): Promise<unknown>;
  /** An incident and its audit row, in one transaction. */
  createIncident(incident: NewIncident): Promise<unknown>;
  close(): Promise<unknown>;
}

export type Open = (url: string) => Promise<Peer>;

/** The JSON columns of incidents, by their keys. */
export const JSON_KEYS = [
  'source',
  'alertData',
  'enrichments',
  'analysis',
  'proposedActions',
  'tags',
  'metadata',
] as const;

/** A row of SQLite, whose JSON and times are text, as an object. */
export function parsed<Row extends object>(row: Row): Row {
  const out = { ...row } as Record<string, unknown>;
  for (const key of [...JSON_KEYS, 'details']) if (typeof out[key] === 'string') out[key] = JSON.parse(out[key]);
  for (const key of ['createdAt', 'updatedAt']) if (typeof out[key] === 'string') out[key] = new Date(out[key]);
  return out as Row;
}

/** A row for SQLite. */
export function written(row: Incident | AuditLog): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      value instanceof Date
        ? value.toISOString()
        : value !== null && ((JSON_KEYS as readonly string[]).includes(key) || key === 'details')
          ? JSON.stringify(value)
          : value,
    ]),
  );
}

export const isSqlite = (url: string): boolean => url.startsWith('sqlite:');
export const fileOf = (url: string): string => url.slice('sqlite:'.length);
