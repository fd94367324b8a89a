/**
 * Every closed list of values, in the order of the schema document. The single source for TypeScript's unions, zod,
 * SQLite's CHECKs and PostgreSQL's ENUM types.
 */

/** How grave an incident is, from least to most. */
export const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Where an incident stands in triage. */
export const INCIDENT_STATUSES = [
  'new',
  'enriching',
  'analyzing',
  'pending_review',
  'pending_approval',
  'executing',
  'resolved',
  'false_positive',
  'escalated',
  'closed',
] as const;
export type IncidentStatus = (typeof INCIDENT_STATUSES)[number];

/** Where a response action stands between proposal and execution. */
export const APPROVAL_STATUSES = ['pending', 'auto_approved', 'approved', 'denied', 'executed', 'failed'] as const;
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number];

/** Where one approval request stands. */
export const APPROVAL_WORKFLOW_STATUSES = ['pending', 'approved', 'denied', 'expired'] as const;
export type ApprovalWorkflowStatus = (typeof APPROVAL_WORKFLOW_STATUSES)[number];

/** What a user may do. */
export const USER_ROLES = ['admin', 'analyst', 'viewer'] as const;
export type UserRole = (typeof USER_ROLES)[number];

/** Who has to approve, from the lowest level to the highest. */
export const APPROVAL_LEVELS = ['analyst', 'senior', 'manager', 'executive'] as const;
export type ApprovalLevel = (typeof APPROVAL_LEVELS)[number];

/** What starts a playbook. */
export const TRIGGER_TYPES = ['alert_type', 'severity', 'source', 'manual'] as const;
export type TriggerType = (typeof TRIGGER_TYPES)[number];

/** What a policy decides about a proposed action. */
export const POLICY_ACTIONS = ['auto_approve', 'require_approval', 'deny'] as const;
export type PolicyAction = (typeof POLICY_ACTIONS)[number];

/** Where a notification goes. */
export const CHANNEL_TYPES = ['slack', 'teams', 'email', 'pagerduty', 'webhook'] as const;
export type ChannelType = (typeof CHANNEL_TYPES)[number];

/** How a connector was last seen. */
export const CONNECTOR_STATUSES = ['connected', 'disconnected', 'error', 'unknown'] as const;
export type ConnectorStatus = (typeof CONNECTOR_STATUSES)[number];

/** How much Triage Warden does without asking. */
export const OPERATION_MODES = ['assisted', 'supervised', 'autonomous'] as const;
export type OperationMode = (typeof OPERATION_MODES)[number];

/** Who runs the language models that Triage Warden asks. */
export const LLM_PROVIDERS = ['openai', 'anthropic', 'local'] as const;

/** The systems that Triage Warden connects to. */
export const CONNECTOR_TYPES = ['virus_total', 'jira', 'splunk'] as const;

/** The kinds of lookup that Triage Warden makes. */
export const ENRICHMENT_TYPES = [
  'threat_intel',
  'host_info',
  'user_info',
  'siem_search',
  'email_analysis',
  'geo_location',
  'whois',
  'mitre_mapping',
  'historical_correlation',
] as const;

/** What a triage analysis concludes. */
export const VERDICTS = [
  'true_positive',
  'likely_true_positive',
  'suspicious',
  'likely_false_positive',
  'false_positive',
  'inconclusive',
] as const;

/** The response actions that Triage Warden knows. */
export const ACTION_TYPES = [
  'isolate_host',
  'unisolate_host',
  'disable_user',
  'enable_user',
  'reset_password',
  'revoke_sessions',
  'block_ip',
  'unblock_ip',
  'block_domain',
  'quarantine_email',
  'delete_email',
  'block_sender',
  'create_ticket',
  'update_ticket',
  'add_ticket_comment',
  'send_notification',
  'run_search',
  'collect_forensics',
] as const;

/** The actions that Triage Warden itself writes into the trail. A service may append its own. */
export const AUDIT_ACTIONS = [
  'incident_created',
  'incident_updated',
  'status_changed',
  'enrichment_added',
  'analysis_completed',
  'tags_added',
  'tags_removed',
  'metadata_merged',
  'ticket_created',
  'ticket_updated',
  'comment_added',
  'escalated',
  'closed',
  'action_proposed',
  'action_approved',
  'action_denied',
  'action_claimed',
  'action_lease_renewed',
  'action_released',
  'action_executed',
  'action_failed',
  'approval_requested',
  'approval_approved',
  'approval_denied',
  'approval_expired',
] as const;

/** One of the known values, with completion in editors, or any other string. */
export type Known<T extends string> = T | (string & Record<never, never>);
