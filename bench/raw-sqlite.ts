/**
 * better-sqlite3 as its documentation advises: WAL, statements prepared once and kept, `transaction()`; with the
 * pragmas of our store.
 */
import Database from 'better-sqlite3';
import type { ApiKey, AuditLog, Incident, NewAuditLog, NewIncident, Policy, Session, User } from './library.ts';
import {
  auditRow,
  createdEntry,
  incidentRow,
  type Move,
  PAGE_ROWS,
  pageOf,
  type RawCursor,
  type RawDriver,
  verified,
  wasUsedLately,
} from './raw-driver.ts';

/** A row as the driver answers it: JSON and times are text. */
type Stored<Row> = { [Key in keyof Row]: string | Extract<Row[Key], null> };

const INCIDENT_COLUMNS = `id, source, severity, status, alert_data as alertData, enrichments, analysis,
  proposed_actions as proposedActions, ticket_id as ticketId, tags, metadata, created_at as createdAt,
  updated_at as updatedAt`;

const SELECT_INCIDENT = `select ${INCIDENT_COLUMNS} from incidents where id = ?`;

const SELECT_TRIAGE = `select ${INCIDENT_COLUMNS} from incidents
  where status in (?, ?) and severity in (?, ?) order by created_at desc, id desc limit ${PAGE_ROWS}`;

const SELECT_AFTER = `select ${INCIDENT_COLUMNS} from incidents
  where (created_at, id) < (?, ?) order by created_at desc, id desc limit ${PAGE_ROWS}`;

const INSERT_AUDIT = `insert into audit_logs (id, incident_id, action, actor, details, created_at)
  values (?, ?, ?, ?, ?, ?)`;

const INSERT_INCIDENT = `insert into incidents (id, source, severity, status, alert_data, enrichments, analysis,
  proposed_actions, ticket_id, tags, metadata, created_at, updated_at)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

const UPDATE_STATUS = `update incidents set status = ?, updated_at = ? where id = ? and status in (?)
  returning ${INCIDENT_COLUMNS}`;

export function openRawSqlite(file: string): RawDriver {
  const database = new Database(file);
  for (const pragma of [
    'journal_mode = WAL',
    'synchronous = FULL',
    'fullfsync = 1',
    'checkpoint_fullfsync = 1',
    'foreign_keys = ON',
  ])
    database.pragma(pragma);
  return { ...reads(database), ...writes(database), ...authentication(database), close: () => void database.close() };
}

function reads(database: Database.Database) {
  const byId = database.prepare<[string], Stored<Incident>>(SELECT_INCIDENT);
  const triage = database.prepare<string[], Stored<Incident>>(SELECT_TRIAGE);
  const after = database.prepare<[string, string], Stored<Incident>>(SELECT_AFTER);
  return {
    getIncident(id: string) {
      const stored = byId.get(id);
      return stored && incidentOf(stored);
    },
    listTriage: () => pageOf(triage.all('new', 'enriching', 'high', 'critical').map(incidentOf)),
    listAfter: ({ createdAt, id }: RawCursor) => pageOf(after.all(createdAt.toISOString(), id).map(incidentOf)),
  };
}

/** A row as the driver answers it: JSON and times are text, booleans 0 or 1. */
type Flat<Row> = Record<keyof Row, never>;

const SELECT_KEYS = `select k.id, k.user_id as userId, k.name, k.key_prefix as keyPrefix, k.scopes, k.expires_at as expiresAt,
  k.last_used_at as lastUsedAt, k.created_at as createdAt, k.key_hash as keyHash, u.id as ownerId, u.email, u.username, u.role,
  u.display_name as displayName, u.enabled, u.last_login_at as lastLoginAt, u.created_at as ownerCreatedAt,
  u.updated_at as updatedAt from api_keys k join users u on u.id = k.user_id where k.key_prefix = ?`;

const SELECT_POLICIES = `select id, name, description, condition, action, approval_level as approvalLevel, priority, enabled,
  created_at as createdAt, updated_at as updatedAt from policies where enabled = 1 order by priority, created_at, id`;

const time = (text: string | null) => text && new Date(text);

function authentication(database: Database.Database) {
  const candidates = database.prepare<[string], Flat<ApiKey & User & { keyHash: 1; ownerId: 1; ownerCreatedAt: 1 }>>(
    SELECT_KEYS,
  );
  const use = database.prepare<[string, string]>('update api_keys set last_used_at = ? where id = ?');
  const session = database.prepare<[string, number], Session>(
    'select id, data, expiry_date as expiryDate from sessions where id = ? and expiry_date > ?',
  );
  const policies = database.prepare<[], Flat<Policy>>(SELECT_POLICIES);
  return {
    verifyApiKey(token: string) {
      const rows = candidates.all(token.slice(0, 8)).map((row) => {
        const { id, userId, name, keyPrefix, keyHash, ownerId, email, username, role, displayName } = row;
        const { expiresAt, lastUsedAt, createdAt, lastLoginAt, ownerCreatedAt, updatedAt } = row;
        return {
          keyHash,
          key: {
            id,
            userId,
            name,
            keyPrefix,
            scopes: JSON.parse(row.scopes),
            expiresAt: time(expiresAt) as Date | null,
            lastUsedAt: time(lastUsedAt) as Date | null,
            createdAt: new Date(createdAt),
          },
          owner: {
            id: ownerId,
            email,
            username,
            role,
            displayName,
            enabled: row.enabled === 1,
            lastLoginAt: time(lastLoginAt) as Date | null,
            createdAt: new Date(ownerCreatedAt),
            updatedAt: new Date(updatedAt),
          },
        };
      });
      const found = verified(token, rows);
      if (found && !wasUsedLately(found)) use.run(new Date().toISOString(), found.key.id);
      return found;
    },
    loadSession: (id: string) => session.get(id, Math.floor(Date.now() / 1000)) ?? null,
    listPolicies: () =>
      policies.all().map(
        (row): Policy => ({
          ...(row as Policy),
          enabled: row.enabled === 1,
          createdAt: new Date(row.createdAt),
          updatedAt: new Date(row.updatedAt),
        }),
      ),
  };
}

function writes(database: Database.Database) {
  const audit = database.prepare<unknown[]>(INSERT_AUDIT);
  const insert = database.prepare<unknown[]>(INSERT_INCIDENT);
  const update = database.prepare<string[], Stored<Incident>>(UPDATE_STATUS);
  const createAll = database.transaction((rows: readonly Incident[]) => {
    for (const row of rows) {
      insert.run(...incidentParams(row));
      audit.run(...auditParams(createdEntry(row)));
    }
  });
  const transition = database.transaction((id: string, { from, to }: Move) => {
    const stored = update.get(to, new Date().toISOString(), id, from);
    if (!stored) throw new Error('The incident is in another status');
    audit.run(...auditParams(auditRow({ incidentId: id, action: 'status_changed', details: { from, to } })));
    return incidentOf(stored);
  });
  return {
    appendAudit(log: NewAuditLog) {
      const row = auditRow(log);
      audit.run(...auditParams(row));
      return row;
    },
    createIncident(incident: NewIncident) {
      const row = incidentRow(incident);
      createAll.immediate([row]);
      return row;
    },
    createIncidents(incidents: readonly NewIncident[]) {
      const rows = incidents.map(incidentRow);
      createAll.immediate(rows);
      return rows.map(({ id }) => id);
    },
    transition: (id: string, move: Move) => transition.immediate(id, move),
  };
}

const auditParams = ({ id, incidentId, action, actor, details, createdAt }: AuditLog) => [
  id,
  incidentId,
  action,
  actor,
  details && JSON.stringify(details),
  createdAt.toISOString(),
];

const incidentParams = (row: Incident) => [
  row.id,
  JSON.stringify(row.source),
  row.severity,
  row.status,
  JSON.stringify(row.alertData),
  JSON.stringify(row.enrichments),
  row.analysis && JSON.stringify(row.analysis),
  JSON.stringify(row.proposedActions),
  row.ticketId,
  JSON.stringify(row.tags),
  JSON.stringify(row.metadata),
  row.createdAt.toISOString(),
  row.updatedAt.toISOString(),
];

/** The columns' constraints vouch for the types, as with any driver that is used by hand. */
const incidentOf = (stored: Stored<Incident>): Incident => ({
  id: stored.id,
  source: JSON.parse(stored.source) as Incident['source'],
  severity: stored.severity as Incident['severity'],
  status: stored.status as Incident['status'],
  alertData: JSON.parse(stored.alertData as string) as Incident['alertData'],
  enrichments: JSON.parse(stored.enrichments) as Incident['enrichments'],
  analysis: stored.analysis === null ? null : (JSON.parse(stored.analysis) as Incident['analysis']),
  proposedActions: JSON.parse(stored.proposedActions) as Incident['proposedActions'],
  ticketId: stored.ticketId,
  tags: JSON.parse(stored.tags) as Incident['tags'],
  metadata: JSON.parse(stored.metadata) as Incident['metadata'],
  createdAt: new Date(stored.createdAt),
  updatedAt: new Date(stored.updatedAt),
});
