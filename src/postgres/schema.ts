/**
 * The twelve tables of the schema document on PostgreSQL, as Drizzle tables. Their rows have the same types as those of
 * SQLite's: `../repositories/tables.ts` proves it.
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  foreignKey,
  index,
  integer,
  pgEnum,
  pgTable,
  text,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import { parseJson, RawJson } from '../codecs/json.ts';
import { fromJsonb, toJsonb } from '../codecs/jsonb.ts';
import { encodeTimestamp, parseTimestamp } from '../codecs/timestamp.ts';
import type { Action } from '../model/action.ts';
import type { AuditLog } from '../model/audit-log.ts';
import type { ApiKey } from '../model/authentication.ts';
import type { Connector, NotificationChannel, Playbook, Setting } from '../model/configuration.ts';
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

// ---- the columns' vocabulary: the same names and TypeScript types as in sqlite/schema.ts -------------------------

const time = (dataType: string) =>
  customType<{ data: Date; driverData: string }>({
    dataType: () => dataType,
    // PostgreSQL has no year 0: ISO 8601's 0000 is 1 BC
    toDriver: (date) => encodeTimestamp(date, 'timestamp').replace(/^0000(.*)$/, '0001$1 BC'),
    fromDriver: (text) => {
      const date = parseTimestamp(text);
      if (!date) throw new TypeError('is not a timestamp');
      return date;
    },
  });
const timestamp = time('timestamp (3) with time zone');
/** To the microsecond: the order of an audit trail. It reads as the millisecond that it lies in. */
const instant = time('timestamp with time zone');

/**
 * Not jsonb(), which reads the string '"5"' back as the number 5. Our driver hands over jsonb's text; a client that has
 * parsed it already (Drizzle's own drivers) is understood too.
 */
const json = <T>(name: string) =>
  customType<{ data: T; driverData: unknown }>({
    dataType: () => 'jsonb',
    toDriver: (value) => toJsonb(value instanceof RawJson ? value : new RawJson(JSON.stringify(value), 0, false)),
    fromDriver: (value) => parseJson(fromJsonb(typeof value === 'string' ? value : JSON.stringify(value))) as T,
  })(name);

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  fromDriver: (bytes) => {
    if (!(bytes instanceof Uint8Array)) throw new TypeError('is not bytes');
    return bytes;
  },
});
const bool = boolean;
const oneOf = <const V extends readonly [string, ...string[]]>(name: string, values: V) => text(name, { enum: values });

export const severity = pgEnum('severity', SEVERITIES);
export const incidentStatus = pgEnum('incident_status', INCIDENT_STATUSES);
export const approvalStatus = pgEnum('approval_status', APPROVAL_STATUSES);
export const approvalWorkflowStatus = pgEnum('approval_workflow_status', APPROVAL_WORKFLOW_STATUSES);
export const userRole = pgEnum('user_role', USER_ROLES);

// ---- the tables, in the document's order ---------------------------------------------------------------------------

export const incidents = pgTable(
  'incidents',
  {
    id: uuid('id').primaryKey(),
    source: json<Incident['source']>('source').notNull(),
    severity: severity('severity').notNull(),
    status: incidentStatus('status').notNull(),
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
    index('incidents_status_idx').on(t.status),
    index('incidents_severity_idx').on(t.severity),
    index('incidents_created_at_idx').on(t.createdAt, t.id),
    index('incidents_updated_at_idx').on(t.updatedAt, t.id),
    // incidents.list by status and severity, newest or oldest first
    index('incidents_triage_idx').on(t.status, t.severity, t.createdAt, t.id),
    // incidents.list by ticket
    index('incidents_ticket_id_idx').on(t.ticketId),
    // incidents.list by tag
    index('incidents_tags_idx').using('gin', t.tags.op('jsonb_path_ops')),
  ],
);

export const auditLogs = pgTable(
  'audit_logs',
  {
    id: uuid('id').primaryKey(),
    incidentId: uuid('incident_id').notNull(),
    action: text('action').$type<AuditLog['action']>().notNull(),
    actor: text('actor').notNull(),
    details: json<NonNullable<AuditLog['details']>>('details'),
    createdAt: instant('created_at').notNull(),
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

export const actions = pgTable(
  'actions',
  {
    id: uuid('id').primaryKey(),
    incidentId: uuid('incident_id').notNull(),
    actionType: text('action_type').$type<Action['actionType']>().notNull(),
    target: json<Action['target']>('target').notNull(),
    parameters: json<Action['parameters']>('parameters').notNull().default({}),
    reason: text('reason').notNull(),
    priority: integer('priority').notNull().default(50),
    approvalStatus: approvalStatus('approval_status').notNull(),
    approvedBy: text('approved_by'),
    approvalTimestamp: timestamp('approval_timestamp'),
    result: json<NonNullable<Action['result']>>('result'),
    createdAt: timestamp('created_at').notNull(),
    executedAt: timestamp('executed_at'),
  },
  (t) => [
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

export const approvals = pgTable(
  'approvals',
  {
    id: uuid('id').primaryKey(),
    actionId: uuid('action_id').notNull(),
    incidentId: uuid('incident_id').notNull(),
    approvalLevel: oneOf('approval_level', APPROVAL_LEVELS).notNull(),
    status: approvalWorkflowStatus('status').notNull(),
    requestedBy: text('requested_by').notNull(),
    requestedAt: timestamp('requested_at').notNull(),
    decidedBy: text('decided_by'),
    decidedAt: timestamp('decided_at'),
    decisionReason: text('decision_reason'),
    expiresAt: timestamp('expires_at'),
  },
  (t) => [
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

export const playbooks = pgTable(
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

export const connectors = pgTable(
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

export const policies = pgTable(
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
  ],
);

export const notificationChannels = pgTable(
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
    // the channels that listen to an event
    index('notification_channels_events_idx').using('gin', t.events.op('jsonb_path_ops')),
  ],
);

export const settings = pgTable('settings', {
  key: text('key').primaryKey(),
  value: json<Setting['value']>('value').notNull(),
  updatedAt: timestamp('updated_at').notNull(),
});

export const users = pgTable(
  'users',
  {
    id: uuid('id').primaryKey(),
    email: text('email').notNull(),
    username: text('username').notNull(),
    passwordHash: text('password_hash').notNull(),
    role: userRole('role').notNull(),
    displayName: text('display_name'),
    enabled: bool('enabled').notNull().default(true),
    lastLoginAt: timestamp('last_login_at'),
    createdAt: timestamp('created_at').notNull(),
    updatedAt: timestamp('updated_at').notNull(),
  },
  (t) => [
    unique('users_email_unique').on(t.email),
    unique('users_username_unique').on(t.username),
    // without regard to case: "C" folds ASCII, and the model refuses capitals beyond it
    uniqueIndex('users_email_nocase_unique').on(sql`lower(${t.email} collate "C")`),
    uniqueIndex('users_username_nocase_unique').on(sql`lower(${t.username} collate "C")`),
    index('users_role_idx').on(t.role),
    index('users_enabled_idx').on(t.enabled),
  ],
);

export const sessions = pgTable(
  'sessions',
  {
    id: text('id').primaryKey(),
    data: bytes('data').notNull(),
    // Unix seconds: INTEGER would end in 2038
    expiryDate: bigint('expiry_date', { mode: 'number' }).notNull(),
  },
  (t) => [index('sessions_expiry_date_idx').on(t.expiryDate)],
);

export const apiKeys = pgTable(
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
