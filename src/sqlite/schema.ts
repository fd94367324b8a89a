/**
 * The twelve tables of the schema document on SQLite, as Drizzle tables. Their rows have the same types as those of
 * PostgreSQL's: `../repositories/tables.ts` proves it.
 */
import { sql } from 'drizzle-orm';
import {
  type AnySQLiteColumn,
  check,
  customType,
  foreignKey,
  index,
  integer,
  sqliteTable,
  text,
  unique,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core';
import { parseJson, RawJson } from '../codecs/json.ts';
import { encodeTimestamp, parseTimestamp } from '../codecs/timestamp.ts';
import type { Action } from '../model/action.ts';
import type { AuditLog } from '../model/audit-log.ts';
import type { ApiKey } from '../model/authentication.ts';
import type { Connector, NotificationChannel, Playbook, Setting } from '../model/configuration.ts';
import { STORED_UUID } from '../model/fields.ts';
import type { Incident } from '../model/incident.ts';
import {
  APPROVAL_LEVELS,
  APPROVAL_STATUSES,
  APPROVAL_WORKFLOW_STATUSES,
  CHANNEL_TYPES,
  CONNECTOR_STATUSES,
  INCIDENT_STATUSES,
  POLICY_ACTIONS,
  SEVERITIES,
  TRIGGER_TYPES,
  USER_ROLES,
} from '../model/values.ts';

// ---- the columns' vocabulary: the same names and TypeScript types as in postgres/schema.ts -----------------------

const uuid = customType<{ data: string; driverData: string }>({
  dataType: () => 'text',
  fromDriver: (text) => {
    if (!STORED_UUID.test(text)) throw new TypeError('is not a UUID');
    return text;
  },
});

const timestamp = customType<{ data: Date; driverData: string }>({
  dataType: () => 'text',
  toDriver: (date) => encodeTimestamp(date, 'timestamp'),
  fromDriver: (text) => {
    const date = parseTimestamp(text);
    if (!date) throw new TypeError('is not a timestamp');
    return date;
  },
});

const json = <T>(name: string) =>
  customType<{ data: T; driverData: string }>({
    dataType: () => 'text',
    toDriver: (value) => (value instanceof RawJson ? value.text : JSON.stringify(value)),
    fromDriver: (text) => parseJson(text) as T,
  })(name);

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'blob',
  fromDriver: (bytes) => {
    if (!(bytes instanceof Uint8Array)) throw new TypeError('is not bytes');
    return bytes;
  },
});
const bool = (name: string) => integer(name, { mode: 'boolean' });
const oneOf = <const V extends readonly [string, ...string[]]>(name: string, values: V) => text(name, { enum: values });

/** sql.raw, since drizzle-kit writes a bound parameter into the DDL as `?` (drizzle-orm#3713). */
const oneOfCheck = (name: string, column: AnySQLiteColumn, values: readonly string[]) =>
  check(name, sql`${column} in (${sql.raw(values.map((value) => `'${value}'`).join(', '))})`);

// ---- the tables, in the document's order ---------------------------------------------------------------------------

export const incidents = sqliteTable(
  'incidents',
  {
    id: uuid('id').primaryKey(),
    source: json<Incident['source']>('source').notNull(),
    severity: oneOf('severity', SEVERITIES).notNull(),
    status: oneOf('status', INCIDENT_STATUSES).notNull(),
    alertData: json<Incident['alertData']>('alert_data').notNull(),
    enrichments: json<Incident['enrichments']>('enrichments').notNull().default([]),
    analysis: json<NonNullable<Incident['analysis']>>('analysis'),
    proposedActions: json<Incident['proposedActions']>('proposed_actions').notNull().default([]),
    ticketId: text('ticket_id'),
    tags: json<Incident['tags']>('tags').notNull().default([]),
    metadata: json<Incident['metadata']>('metadata').notNull().default({}),
    createdAt: timestamp('created_at').notNull(),
    updatedAt: timestamp('updated_at').notNull(),
  },
  (t) => [
    oneOfCheck('incidents_severity_check', t.severity, SEVERITIES),
    oneOfCheck('incidents_status_check', t.status, INCIDENT_STATUSES),
    index('incidents_status_idx').on(t.status),
    index('incidents_severity_idx').on(t.severity),
    index('incidents_created_at_idx').on(t.createdAt, t.id),
    index('incidents_updated_at_idx').on(t.updatedAt, t.id),
    // incidents.list by status and severity, newest or oldest first
    index('incidents_triage_idx').on(t.status, t.severity, t.createdAt, t.id),
    // incidents.list by ticket
    index('incidents_ticket_id_idx').on(t.ticketId),
  ],
);

export const auditLogs = sqliteTable(
  'audit_logs',
  {
    id: uuid('id').primaryKey(),
    incidentId: uuid('incident_id').notNull(),
    action: text('action').$type<AuditLog['action']>().notNull(),
    actor: text('actor').notNull(),
    details: json<NonNullable<AuditLog['details']>>('details'),
    createdAt: timestamp('created_at').notNull(),
  },
  (t) => [
    // the trail is immutable: an incident that has one stays
    foreignKey({ name: 'audit_logs_incident_id_fk', columns: [t.incidentId], foreignColumns: [incidents.id] }).onDelete(
      'restrict',
    ),
    // the trail of one incident, in order
    index('audit_logs_incident_id_idx').on(t.incidentId, t.createdAt, t.id),
    index('audit_logs_created_at_idx').on(t.createdAt, t.id),
  ],
);

export const actions = sqliteTable(
  'actions',
  {
    id: uuid('id').primaryKey(),
    incidentId: uuid('incident_id').notNull(),
    actionType: text('action_type').$type<Action['actionType']>().notNull(),
    target: json<Action['target']>('target').notNull(),
    parameters: json<Action['parameters']>('parameters').notNull().default({}),
    reason: text('reason').notNull(),
    priority: integer('priority').notNull().default(50),
    approvalStatus: oneOf('approval_status', APPROVAL_STATUSES).notNull(),
    approvedBy: text('approved_by'),
    approvalTimestamp: timestamp('approval_timestamp'),
    result: json<NonNullable<Action['result']>>('result'),
    createdAt: timestamp('created_at').notNull(),
    executedAt: timestamp('executed_at'),
  },
  (t) => [
    oneOfCheck('actions_approval_status_check', t.approvalStatus, APPROVAL_STATUSES),
    foreignKey({ name: 'actions_incident_id_fk', columns: [t.incidentId], foreignColumns: [incidents.id] }).onDelete(
      'cascade',
    ),
    index('actions_incident_id_idx').on(t.incidentId),
    // actions.list by status
    index('actions_approval_status_idx').on(t.approvalStatus, t.createdAt, t.id),
    index('actions_created_at_idx').on(t.createdAt, t.id),
    // actions.claim and actions.listReady, in their order: of the few that are ready among all that were executed
    index('actions_ready_idx')
      .on(t.priority, t.createdAt, t.id)
      .where(sql`${t.approvalStatus} in ('approved', 'auto_approved')`),
  ],
);

export const approvals = sqliteTable(
  'approvals',
  {
    id: uuid('id').primaryKey(),
    actionId: uuid('action_id').notNull(),
    incidentId: uuid('incident_id').notNull(),
    approvalLevel: oneOf('approval_level', APPROVAL_LEVELS).notNull(),
    status: oneOf('status', APPROVAL_WORKFLOW_STATUSES).notNull(),
    requestedBy: text('requested_by').notNull(),
    requestedAt: timestamp('requested_at').notNull(),
    decidedBy: text('decided_by'),
    decidedAt: timestamp('decided_at'),
    decisionReason: text('decision_reason'),
    expiresAt: timestamp('expires_at'),
  },
  (t) => [
    oneOfCheck('approvals_status_check', t.status, APPROVAL_WORKFLOW_STATUSES),
    foreignKey({ name: 'approvals_action_id_fk', columns: [t.actionId], foreignColumns: [actions.id] }).onDelete(
      'cascade',
    ),
    foreignKey({ name: 'approvals_incident_id_fk', columns: [t.incidentId], foreignColumns: [incidents.id] }).onDelete(
      'cascade',
    ),
    index('approvals_action_id_idx').on(t.actionId),
    // approvals.list of the pending ones, oldest or newest first
    index('approvals_status_idx').on(t.status, t.requestedAt, t.id),
    index('approvals_expires_at_idx').on(t.expiresAt),
    // approvals.list by incident
    index('approvals_incident_id_idx').on(t.incidentId),
    // the same, of a level
    index('approvals_pending_idx').on(t.status, t.approvalLevel, t.requestedAt, t.id),
  ],
);

export const playbooks = sqliteTable(
  'playbooks',
  {
    id: uuid('id').primaryKey(),
    name: text('name').notNull(),
    description: text('description'),
    triggerType: oneOf('trigger_type', TRIGGER_TYPES).notNull(),
    triggerCondition: text('trigger_condition'),
    stages: json<Playbook['stages']>('stages').notNull().default([]),
    enabled: bool('enabled').notNull().default(true),
    executionCount: integer('execution_count').notNull().default(0),
    createdAt: timestamp('created_at').notNull(),
    updatedAt: timestamp('updated_at').notNull(),
  },
  (t) => [
    index('playbooks_name_idx').on(t.name),
    index('playbooks_trigger_type_idx').on(t.triggerType),
    index('playbooks_enabled_idx').on(t.enabled),
    index('playbooks_created_at_idx').on(t.createdAt, t.id),
  ],
);

export const connectors = sqliteTable(
  'connectors',
  {
    id: uuid('id').primaryKey(),
    name: text('name').notNull(),
    connectorType: text('connector_type').$type<Connector['connectorType']>().notNull(),
    config: json<Connector['config']>('config').notNull().default({}),
    status: oneOf('status', CONNECTOR_STATUSES).notNull().default('unknown'),
    enabled: bool('enabled').notNull().default(true),
    lastHealthCheck: timestamp('last_health_check'),
    createdAt: timestamp('created_at').notNull(),
    updatedAt: timestamp('updated_at').notNull(),
  },
  (t) => [
    index('connectors_name_idx').on(t.name),
    index('connectors_connector_type_idx').on(t.connectorType),
    index('connectors_status_idx').on(t.status),
    index('connectors_enabled_idx').on(t.enabled),
  ],
);

export const policies = sqliteTable(
  'policies',
  {
    id: uuid('id').primaryKey(),
    name: text('name').notNull(),
    description: text('description'),
    condition: text('condition').notNull(),
    action: oneOf('action', POLICY_ACTIONS).notNull(),
    approvalLevel: oneOf('approval_level', APPROVAL_LEVELS),
    priority: integer('priority').notNull().default(0),
    enabled: bool('enabled').notNull().default(true),
    createdAt: timestamp('created_at').notNull(),
    updatedAt: timestamp('updated_at').notNull(),
  },
  (t) => [
    index('policies_name_idx').on(t.name),
    index('policies_action_idx').on(t.action),
    index('policies_priority_idx').on(t.priority),
    index('policies_enabled_idx').on(t.enabled),
    // policies.listEnabled, in evaluation order
    index('policies_evaluation_idx').on(t.enabled, t.priority, t.createdAt, t.id),
  ],
);

export const notificationChannels = sqliteTable(
  'notification_channels',
  {
    id: uuid('id').primaryKey(),
    name: text('name').notNull(),
    channelType: oneOf('channel_type', CHANNEL_TYPES).notNull(),
    config: json<NotificationChannel['config']>('config').notNull().default({}),
    events: json<NotificationChannel['events']>('events').notNull().default([]),
    enabled: bool('enabled').notNull().default(true),
    createdAt: timestamp('created_at').notNull(),
    updatedAt: timestamp('updated_at').notNull(),
  },
  (t) => [
    index('notification_channels_name_idx').on(t.name),
    index('notification_channels_channel_type_idx').on(t.channelType),
    index('notification_channels_enabled_idx').on(t.enabled),
  ],
);

export const settings = sqliteTable('settings', {
  key: text('key').primaryKey(),
  value: json<Setting['value']>('value').notNull(),
  updatedAt: timestamp('updated_at').notNull(),
});

export const users = sqliteTable(
  'users',
  {
    id: uuid('id').primaryKey(),
    email: text('email').notNull(),
    username: text('username').notNull(),
    passwordHash: text('password_hash').notNull(),
    role: oneOf('role', USER_ROLES).notNull(),
    displayName: text('display_name'),
    enabled: bool('enabled').notNull().default(true),
    lastLoginAt: timestamp('last_login_at'),
    createdAt: timestamp('created_at').notNull(),
    updatedAt: timestamp('updated_at').notNull(),
  },
  (t) => [
    oneOfCheck('users_role_check', t.role, USER_ROLES),
    unique('users_email_unique').on(t.email),
    unique('users_username_unique').on(t.username),
    // without regard to case: NOCASE folds ASCII, and the model refuses capitals beyond it
    uniqueIndex('users_email_nocase_unique').on(sql`${t.email} collate nocase`),
    uniqueIndex('users_username_nocase_unique').on(sql`${t.username} collate nocase`),
    index('users_role_idx').on(t.role),
    index('users_enabled_idx').on(t.enabled),
  ],
);

export const sessions = sqliteTable(
  'sessions',
  {
    id: text('id').primaryKey(),
    data: bytes('data').notNull(),
    expiryDate: integer('expiry_date').notNull(),
  },
  (t) => [index('sessions_expiry_date_idx').on(t.expiryDate)],
);

export const apiKeys = sqliteTable(
  'api_keys',
  {
    id: uuid('id').primaryKey(),
    userId: uuid('user_id').notNull(),
    name: text('name').notNull(),
    keyHash: text('key_hash').notNull(),
    keyPrefix: text('key_prefix').notNull(),
    scopes: json<ApiKey['scopes']>('scopes').notNull().default([]),
    expiresAt: timestamp('expires_at'),
    lastUsedAt: timestamp('last_used_at'),
    createdAt: timestamp('created_at').notNull(),
  },
  (t) => [
    foreignKey({ name: 'api_keys_user_id_fk', columns: [t.userId], foreignColumns: [users.id] }).onDelete('cascade'),
    index('api_keys_user_id_idx').on(t.userId),
    index('api_keys_key_prefix_idx').on(t.keyPrefix),
    index('api_keys_expires_at_idx').on(t.expiresAt),
  ],
);
