/**
 * The public surface. It loads no driver, and no dialect before a store is opened.
 */
export { RawJson, rawJson } from './codecs/json.ts';
export type { Isolation } from './driver/port.ts';
export * from './errors.ts';
export type { MigrationStatus } from './migrations/migrator.ts';
export type { Action, ActionTarget, ActionType, ClaimedAction, Lease, NewAction } from './model/action.ts';
export type { Approval, Decision, NewApproval, NewApprovalChain } from './model/approval.ts';
export type { AuditAction, AuditLog, NewAuditLog } from './model/audit-log.ts';
export type { ApiKey, Session, User } from './model/authentication.ts';
export type { Connector, NotificationChannel, Playbook, Policy, Setting } from './model/configuration.ts';
export type {
  AlertSource,
  Analysis,
  Enrichment,
  Incident,
  IncidentPatch,
  Ioc,
  MitreTechnique,
  NewAnalysis,
  NewEnrichment,
  NewIncident,
  ProposedAction,
} from './model/incident.ts';
export type { JsonInput, JsonObject, JsonValue } from './model/json.ts';
export { leaseOf } from './model/lease.ts';
export * from './model/values.ts';
export { type OpenOptions, openStore } from './open.ts';
export type { Migrations, PostgresOptions, SqliteOptions, StoreOptions } from './options.ts';
export type { ActionFilter, ActionSort, Actions, ClaimOptions, Outcome } from './repositories/actions.ts';
export type { ApprovalFilter, ApprovalSort } from './repositories/approval-requests.ts';
export type { Approvals } from './repositories/approvals.ts';
export type { AuditLogFilter, AuditLogSort, AuditLogs } from './repositories/audit-logs.ts';
export type { IncidentFilter } from './repositories/incident-filter.ts';
export type { IncidentSort, IncidentStats, Incidents } from './repositories/incidents.ts';
export type { CursorOptions, NumberedOptions, NumberedPage, Page } from './repositories/page.ts';
export type { StreamOptions } from './repositories/repository.ts';
export type { Handle, Store, TransactionOptions } from './store.ts';
