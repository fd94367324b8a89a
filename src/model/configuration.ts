import { z } from 'zod';
import { isSecret, type Secret } from '../codecs/secret.ts';
import { limitedText, optionalText, type Patch, text, uuid } from './fields.ts';
import type { JsonValue } from './json.ts';
import {
  APPROVAL_LEVELS,
  type ApprovalLevel,
  CHANNEL_TYPES,
  type ChannelType,
  CONNECTOR_STATUSES,
  type CONNECTOR_TYPES,
  type ConnectorStatus,
  type Known,
  POLICY_ACTIONS,
  type PolicyAction,
  TRIGGER_TYPES,
  type TriggerType,
} from './values.ts';

/** JSON in which secrets may stand, at any depth. */
export type ConfigValue = JsonValue | Secret | readonly ConfigValue[] | ConfigObject;

/** A configuration: a JSON object in which secrets may stand, at any depth. */
export interface ConfigObject {
  readonly [key: string]: ConfigValue | undefined;
}

/** One stage of a playbook. Its members are the caller's; those that are named here have these types. */
export interface PlaybookStage {
  readonly name?: string;
  readonly description?: string | null;
  /** Run its steps at the same time. */
  readonly parallel?: boolean;
  readonly steps?: readonly JsonValue[];
  readonly [key: string]: JsonValue | undefined;
}

/** A row of `playbooks`: a workflow, and what starts it. */
export interface Playbook {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly triggerType: TriggerType;
  readonly triggerCondition: string | null;
  /** In the order in which they run. */
  readonly stages: readonly PlaybookStage[];
  readonly enabled: boolean;
  readonly executionCount: number;
  readonly createdAt: Date;
  /** When it was last edited: running it is no edit. */
  readonly updatedAt: Date;
}

/** A playbook to be created: enabled, without stages, unless it says otherwise. */
export interface NewPlaybook {
  readonly id?: string | undefined;
  readonly name: string;
  readonly description?: string | null | undefined;
  readonly triggerType: TriggerType;
  readonly triggerCondition?: string | null | undefined;
  readonly stages?: readonly PlaybookStage[] | undefined;
  readonly enabled?: boolean | undefined;
}

/** What `update` changes: undefined keeps, null clears. */
export type PlaybookPatch = Patch<Omit<NewPlaybook, 'id'>>;

/** A row of `connectors`: an integration with another system. */
export interface Connector {
  readonly id: string;
  readonly name: string;
  readonly connectorType: Known<(typeof CONNECTOR_TYPES)[number]>;
  /** Credentials in it are `Secret`s. */
  readonly config: ConfigObject;
  /** How it was last seen. */
  readonly status: ConnectorStatus;
  readonly enabled: boolean;
  /** Null until its health was checked. */
  readonly lastHealthCheck: Date | null;
  readonly createdAt: Date;
  /** When it was last edited: a health check, or a status, is no edit. */
  readonly updatedAt: Date;
}

/** A connector to be created: enabled, with an empty configuration and the status `unknown`, unless it says otherwise. */
export interface NewConnector {
  readonly id?: string | undefined;
  readonly name: string;
  readonly connectorType: Connector['connectorType'];
  readonly config?: ConfigObject | undefined;
  readonly status?: ConnectorStatus | undefined;
  readonly enabled?: boolean | undefined;
}

/** What `update` changes: undefined keeps. `config` is replaced whole. The status is set by `setStatus`. */
export type ConnectorPatch = Patch<Omit<NewConnector, 'id' | 'status'>>;

/** A row of `policies`: what is decided about a proposed action that fits its condition. */
export interface Policy {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly condition: string;
  readonly action: PolicyAction;
  /** Who has to approve, where the action is `require_approval`. */
  readonly approvalLevel: ApprovalLevel | null;
  /** The lower, the sooner it is evaluated. */
  readonly priority: number;
  readonly enabled: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A policy to be created: enabled, with the priority 0, unless it says otherwise. */
export interface NewPolicy {
  readonly id?: string | undefined;
  readonly name: string;
  readonly description?: string | null | undefined;
  readonly condition: string;
  readonly action: PolicyAction;
  readonly approvalLevel?: ApprovalLevel | null | undefined;
  /** A 32-bit integer; the lower, the sooner it is evaluated. */
  readonly priority?: number | undefined;
  readonly enabled?: boolean | undefined;
}

/** What `update` changes: undefined keeps, null clears. */
export type PolicyPatch = Patch<Omit<NewPolicy, 'id'>>;

/** A row of `notification_channels`: where notifications of some events go. */
export interface NotificationChannel {
  readonly id: string;
  readonly name: string;
  readonly channelType: ChannelType;
  /** Credentials in it, a webhook's URL too, are `Secret`s. */
  readonly config: ConfigObject;
  /** The events that it is subscribed to. */
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A channel to be created: enabled, with an empty configuration and no events, unless it says otherwise. */
export interface NewNotificationChannel {
  readonly id?: string | undefined;
  readonly name: string;
  readonly channelType: ChannelType;
  readonly config?: ConfigObject | undefined;
  readonly events?: readonly string[] | undefined;
  readonly enabled?: boolean | undefined;
}

/** What `update` changes: undefined keeps. `config` and `events` are replaced whole. */
export type NotificationChannelPatch = Patch<Omit<NewNotificationChannel, 'id'>>;

/** A row of `settings`. */
export interface Setting {
  readonly key: string;
  readonly value: ConfigValue;
  readonly updatedAt: Date;
}

const name = limitedText(200);
const description = optionalText(10_000);
const int32 = z.number().int().min(-2_147_483_648).max(2_147_483_647);
const config = z
  .custom<object>((value) => !isSecret(value), 'is a secret, not an object: mark its members')
  .pipe(z.looseObject({}));

const playbookStage = z.looseObject({
  name: z.string().optional(),
  description: z.string().nullish(),
  parallel: z.boolean().optional(),
  steps: z.array(z.unknown()).optional(),
});

const playbook = {
  name,
  description,
  triggerType: z.enum(TRIGGER_TYPES),
  triggerCondition: text.max(10_000).nullish(),
  stages: z.array(playbookStage).optional(),
  enabled: z.boolean().optional(),
};
export const newPlaybook = z.strictObject({ id: uuid.optional(), ...playbook });
export const playbookPatch = z.strictObject(playbook).partial();

const connector = { name, connectorType: limitedText(100), config: config.optional(), enabled: z.boolean().optional() };
export const newConnector = z.strictObject({
  id: uuid.optional(),
  ...connector,
  status: z.enum(CONNECTOR_STATUSES).optional(),
});
export const connectorPatch = z.strictObject(connector).partial();

const policy = {
  name,
  description,
  condition: text.min(1).max(10_000),
  action: z.enum(POLICY_ACTIONS),
  approvalLevel: z.enum(APPROVAL_LEVELS).nullish(),
  priority: int32.optional(),
  enabled: z.boolean().optional(),
};
export const newPolicy = z.strictObject({ id: uuid.optional(), ...policy });
export const policyPatch = z.strictObject(policy).partial();

const notificationChannel = {
  name,
  channelType: z.enum(CHANNEL_TYPES),
  config: config.optional(),
  events: z.array(limitedText(200)).optional(),
  enabled: z.boolean().optional(),
};
export const newNotificationChannel = z.strictObject({ id: uuid.optional(), ...notificationChannel });
export const notificationChannelPatch = z.strictObject(notificationChannel).partial();
