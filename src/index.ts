/**
 * The public surface. It loads no driver, and no dialect before a store is opened.
 */
export { RawJson, rawJson } from './codecs/json.ts';
export { generateKey, type Keys } from './codecs/key-ring.ts';
export { Secret, secret } from './codecs/secret.ts';
export type { Isolation } from './driver/port.ts';
export type { SearchIndexStatus } from './driver/search-index.ts';
export * from './errors.ts';
export type { MigrationStatus } from './migrations/migrator.ts';
export type { Action, ActionTarget, ActionType, ClaimedAction, Lease, NewAction } from './model/action.ts';
export type { Approval, Decision, NewApproval, NewApprovalChain } from './model/approval.ts';
export type { AuditAction, AuditLog, NewAuditLog } from './model/audit-log.ts';
export type {
  ApiKey,
  Credentials,
  IssuedApiKey,
  NewApiKey,
  NewSession,
  NewUser,
  Session,
  User,
  UserPatch,
  VerifiedApiKey,
} from './model/authentication.ts';
export type {
  ConfigObject,
  ConfigValue,
  Connector,
  ConnectorPatch,
  NewConnector,
  NewNotificationChannel,
  NewPlaybook,
  NewPolicy,
  NotificationChannel,
  NotificationChannelPatch,
  Playbook,
  PlaybookPatch,
  PlaybookStage,
  Policy,
  PolicyPatch,
  Setting,
} from './model/configuration.ts';
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
export type {
  JsonSchemas,
  NoSchemas,
  SchemaInput,
  SchemaIssue,
  SchemaOutput,
  SchemaResult,
  SchemasOf,
  StandardSchema,
  Typed,
  TypedElement,
  TypedInput,
  TypedMembers,
  TypedValue,
} from './model/schema.ts';
export type {
  BuiltInSettings,
  GeneralSettings,
  LlmSettings,
  MaskedSetting,
  RateLimits,
  SettingDefinition,
} from './model/settings.ts';
export * from './model/values.ts';
export { type OpenOptions, openStore } from './open.ts';
export type { Migrations, PostgresOptions, SqliteOptions, StoreOptions } from './options.ts';
export type {
  ActionFilter,
  ActionSort,
  ActionStats,
  Actions,
  Claimed,
  ClaimOptions,
  Outcome,
} from './repositories/actions.ts';
export type { ApiKeyFilter, ApiKeySort, ApiKeys, RotateOptions, VerifyOptions } from './repositories/api-keys.ts';
export type { ApprovalFilter, ApprovalSort, ApprovalStats } from './repositories/approval-requests.ts';
export type { Approvals } from './repositories/approvals.ts';
export type { AuditLogFilter, AuditLogSort, AuditLogs } from './repositories/audit-logs.ts';
export type { BulkOptions, Many } from './repositories/bulk.ts';
export type { ConfigurationSort } from './repositories/configuration-repository.ts';
export type { ConnectorFilter, ConnectorStats, Connectors } from './repositories/connectors.ts';
export type { Durations } from './repositories/durations.ts';
export type { IncidentFilter } from './repositories/incident-filter.ts';
export type { IncidentDay, IncidentSort, IncidentStats, IncidentSummary, Incidents } from './repositories/incidents.ts';
export type { NotificationChannelFilter, NotificationChannels } from './repositories/notification-channels.ts';
export type { CursorOptions, NumberedOptions, NumberedPage, Page } from './repositories/page.ts';
export type { PlaybookFilter, Playbooks } from './repositories/playbooks.ts';
export type { Policies, PolicyFilter, PolicySort } from './repositories/policies.ts';
export type { EstimatedCount, StreamOptions } from './repositories/reader.ts';
export type { Selection } from './repositories/repository.ts';
export type { SessionFilter, SessionSort, Sessions } from './repositories/sessions.ts';
export type { Settings } from './repositories/settings.ts';
export type { NewAdmin, UserFilter, UserSort, Users } from './repositories/users.ts';
export type { RotateSecretsOptions, SecretFailure, SecretRotation } from './rotation.ts';
export type { SearchIndex, SearchIndexOptions } from './search-index.ts';
export type { CloseOptions, Handle, Store, TransactionOptions } from './store.ts';
