import { createHash, timingSafeEqual } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type {
  AuditLog,
  Incident,
  IncidentStatus,
  NewAuditLog,
  NewIncident,
  Policy,
  Session,
  VerifiedApiKey,
} from './library.ts';

export type Awaitable<T> = T | Promise<T>;

/** Some rows of a list, and where the next ones begin. */
export interface RawPage {
  readonly items: readonly Incident[];
  readonly next: RawCursor | null;
}

export interface RawCursor {
  readonly createdAt: Date;
  readonly id: string;
}

export interface Move {
  readonly from: IncidentStatus;
  readonly to: IncidentStatus;
}

/** The same work as that of our store, written by hand against a driver: the same SQL, the same objects out. */
export interface RawDriver {
  getIncident(id: string): Awaitable<Incident | undefined>;
  /** The newest incidents that are new or being enriched, and high or critical. */
  listTriage(): Awaitable<RawPage>;
  /** The newest incidents after this one. */
  listAfter(cursor: RawCursor): Awaitable<RawPage>;
  appendAudit(log: NewAuditLog): Awaitable<AuditLog>;
  createIncident(incident: NewIncident): Awaitable<Incident>;
  transition(id: string, move: Move): Awaitable<Incident>;
  createIncidents(incidents: readonly NewIncident[]): Awaitable<readonly string[]>;
  /** The key of a token and its owner; its use is recorded once a minute. */
  verifyApiKey(token: string): Awaitable<VerifiedApiKey | null>;
  loadSession(id: string): Awaitable<Session | null>;
  /** The enabled policies in evaluation order. */
  listPolicies(): Awaitable<readonly Policy[]>;
  close(): Awaitable<void>;
}

/** What of a key is compared with what a token hashes to. */
export interface Candidate extends VerifiedApiKey {
  readonly keyHash: string;
}

/** The candidate that the token belongs to, if it may be used. */
export function verified(token: string, candidates: readonly Candidate[]): VerifiedApiKey | null {
  const hash = createHash('sha256').update(token).digest();
  const found = candidates.find(({ keyHash }) => timingSafeEqual(Buffer.from(keyHash, 'hex'), hash));
  if (!found?.owner.enabled || (found.key.expiresAt && found.key.expiresAt <= new Date())) return null;
  return { key: found.key, owner: found.owner };
}

export const wasUsedLately = ({ key: { lastUsedAt } }: VerifiedApiKey): boolean =>
  lastUsedAt !== null && Date.now() - lastUsedAt.getTime() < 60_000;

export const PAGE_SIZE = 50;
/** One row more tells whether there is a next page. */
export const PAGE_ROWS = PAGE_SIZE + 1;

/** The incidents of a page, of which the last one tells whether another follows. */
export function pageOf(incidents: readonly Incident[]): RawPage {
  if (incidents.length <= PAGE_SIZE) return { items: incidents, next: null };
  const items = incidents.slice(0, PAGE_SIZE);
  const last = items[PAGE_SIZE - 1];
  return { items, next: last ? { createdAt: last.createdAt, id: last.id } : null };
}

/** A new incident with its defaults, not validated. */
export function incidentRow(incident: NewIncident): Incident {
  const createdAt = incident.createdAt ?? new Date();
  return {
    id: incident.id ?? uuidv7(),
    source: incident.source,
    severity: incident.severity,
    status: incident.status ?? 'new',
    alertData: incident.alertData as Incident['alertData'], // the alerts of this benchmark are plain JSON
    enrichments: (incident.enrichments ?? []) as Incident['enrichments'], // complete, in this benchmark
    analysis: (incident.analysis ?? null) as Incident['analysis'],
    proposedActions: incident.proposedActions ?? [],
    ticketId: incident.ticketId ?? null,
    tags: incident.tags ?? [],
    metadata: incident.metadata ?? {},
    createdAt,
    updatedAt: createdAt,
  };
}

export function auditRow({ incidentId, action, details = null }: NewAuditLog): AuditLog {
  return { id: uuidv7(), incidentId, action, actor: 'system', details, createdAt: new Date() };
}

/** The first entry of an incident's trail. */
export const createdEntry = ({ id, severity, status }: Incident): AuditLog =>
  auditRow({ incidentId: id, action: 'incident_created', details: { severity, status } });
