/**
 * postgres.js as its documentation advises: tagged templates, which it prepares; `sql.json` for jsonb; its own parsers
 * of jsonb and timestamptz; camelCase by a transform of the column names; `sql.begin`; `sql(rows)` for several rows.
 */
import postgres from 'postgres';
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

/** Rows of one multi-row insert: the fastest, and well below the protocol's 65,534 parameters. */
const CHUNK_ROWS = 1000;

export function openRawPostgres(url: string, poolSize: number): RawDriver {
  const sql = postgres(url, {
    max: poolSize,
    transform: { column: { from: postgres.toCamel, to: postgres.fromCamel } },
    onnotice: () => {},
  });
  return { ...reads(sql), ...writes(sql), ...authentication(sql), close: () => sql.end() };
}

function reads(sql: postgres.Sql) {
  return {
    async getIncident(id: string) {
      const [incident] = await sql<Incident[]>`
        select ${incidentColumns(sql)} from incidents where id = ${id}`;
      return incident;
    },
    async listTriage() {
      return pageOf(
        await sql<Incident[]>`
        select ${incidentColumns(sql)} from incidents
        where status in ${sql(['new', 'enriching'])} and severity in ${sql(['high', 'critical'])}
        order by created_at desc, id desc limit ${PAGE_ROWS}`,
      );
    },
    async listAfter({ createdAt, id }: RawCursor) {
      return pageOf(
        await sql<Incident[]>`
        select ${incidentColumns(sql)} from incidents where (created_at, id) < (${createdAt}, ${id})
        order by created_at desc, id desc limit ${PAGE_ROWS}`,
      );
    },
  };
}

type Candidate = ApiKey & User & { keyHash: string; ownerId: string; ownerCreatedAt: Date };

function authentication(sql: postgres.Sql) {
  return {
    async verifyApiKey(token: string) {
      const rows = await sql<Candidate[]>`
        select k.id, k.user_id, k.name, k.key_prefix, k.scopes, k.expires_at, k.last_used_at, k.created_at, k.key_hash,
          u.id as owner_id, u.email, u.username, u.role, u.display_name, u.enabled, u.last_login_at,
          u.created_at as owner_created_at, u.updated_at
        from api_keys k join users u on u.id = k.user_id where k.key_prefix = ${token.slice(0, 8)}`;
      const found = verified(
        token,
        rows.map(
          ({ id, userId, name, keyPrefix, scopes, expiresAt, lastUsedAt, createdAt, keyHash, ownerId, ...owner }) => {
            const { email, username, role, displayName, enabled, lastLoginAt, ownerCreatedAt, updatedAt } = owner;
            return {
              keyHash,
              key: { id, userId, name, keyPrefix, scopes, expiresAt, lastUsedAt, createdAt },
              owner: {
                id: ownerId,
                email,
                username,
                role,
                displayName,
                enabled,
                lastLoginAt,
                createdAt: ownerCreatedAt,
                updatedAt,
              },
            };
          },
        ),
      );
      if (found && !wasUsedLately(found))
        await sql`update api_keys set last_used_at = ${new Date()} where id = ${found.key.id}`;
      return found;
    },
    async loadSession(id: string) {
      const [row] = await sql<Session[]>`
        select id, data, expiry_date from sessions where id = ${id} and expiry_date > ${Math.floor(Date.now() / 1000)}`;
      return row ? { ...row, expiryDate: Number(row.expiryDate) } : null;
    },
    listPolicies: async () => [
      ...(await sql<Policy[]>`
        select id, name, description, condition, action, approval_level, priority, enabled, created_at, updated_at
        from policies where enabled order by priority, created_at, id`),
    ],
  };
}

function writes(sql: postgres.Sql) {
  return {
    async appendAudit(log: NewAuditLog) {
      const row = auditRow(log);
      await insertAudit(sql, row);
      return row;
    },
    async createIncident(incident: NewIncident) {
      const row = incidentRow(incident);
      await sql.begin(async (tx) => {
        await insertIncident(tx, row);
        await insertAudit(tx, createdEntry(row));
      });
      return row;
    },
    transition: (id: string, move: Move) => sql.begin((tx) => transition(tx, id, move)) as Promise<Incident>,
    async createIncidents(incidents: readonly NewIncident[]) {
      const rows = incidents.map(incidentRow);
      await sql.begin(async (tx) => {
        for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
          const chunk = rows.slice(start, start + CHUNK_ROWS);
          await tx`insert into incidents ${tx(chunk.map((row) => incidentValues(tx, row)))}`;
          await tx`insert into audit_logs ${tx(chunk.map((row) => auditValues(tx, createdEntry(row))))}`;
        }
      });
      return rows.map(({ id }) => id);
    },
  };
}

const incidentColumns = (sql: postgres.ISql) => sql`id, source, severity, status, alert_data, enrichments, analysis,
  proposed_actions, ticket_id, tags, metadata, created_at, updated_at`;

const insertAudit = (sql: postgres.ISql, { id, incidentId, action, actor, details, createdAt }: AuditLog) => sql`
  insert into audit_logs (id, incident_id, action, actor, details, created_at)
  values (${id}, ${incidentId}, ${action}, ${actor}, ${details && json(sql, details)}, ${createdAt})`;

const insertIncident = (sql: postgres.ISql, row: Incident) => sql`
  insert into incidents (${incidentColumns(sql)})
  values (${row.id}, ${json(sql, row.source)}, ${row.severity}, ${row.status}, ${json(sql, row.alertData)},
    ${json(sql, row.enrichments)}, ${row.analysis && json(sql, row.analysis)}, ${json(sql, row.proposedActions)},
    ${row.ticketId}, ${json(sql, row.tags)}, ${json(sql, row.metadata)}, ${row.createdAt}, ${row.updatedAt})`;

async function transition(tx: postgres.TransactionSql, id: string, { from, to }: Move): Promise<Incident> {
  const [incident] = await tx<Incident[]>`
    update incidents set status = ${to}, updated_at = ${new Date()} where id = ${id} and status in (${from})
    returning ${incidentColumns(tx)}`;
  if (!incident) throw new Error('The incident is in another status');
  await insertAudit(tx, auditRow({ incidentId: id, action: 'status_changed', details: { from, to } }));
  return incident;
}

const incidentValues = (sql: postgres.ISql, row: Incident) => ({
  ...row,
  source: json(sql, row.source),
  alertData: json(sql, row.alertData),
  enrichments: json(sql, row.enrichments),
  analysis: row.analysis && json(sql, row.analysis),
  proposedActions: json(sql, row.proposedActions),
  tags: json(sql, row.tags),
  metadata: json(sql, row.metadata),
});

const auditValues = (sql: postgres.ISql, row: AuditLog) => ({ ...row, details: row.details && json(sql, row.details) });

/** Our JSON types have optional members, which those of the driver do not allow; JSON leaves them out. */
const json = (sql: postgres.ISql, value: unknown) => sql.json(value as postgres.JSONValue);
