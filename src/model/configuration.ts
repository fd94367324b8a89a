import type { JsonObject, JsonValue } from './json.ts';
import type { ApprovalLevel, ChannelType, ConnectorStatus, Known, PolicyAction, TriggerType } from './values.ts';

/** A row of `playbooks`. */
export interface Playbook {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly triggerType: TriggerType;
  readonly triggerCondition: string | null;
  readonly stages: readonly JsonObject[];
  readonly enabled: boolean;
  readonly executionCount: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of `connectors`. */
export interface Connector {
  readonly id: string;
  readonly name: string;
  readonly connectorType: Known<'virus_total' | 'jira' | 'splunk'>;
  readonly config: JsonObject;
  readonly status: ConnectorStatus;
  readonly enabled: boolean;
  readonly lastHealthCheck: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of `policies`. */
export interface Policy {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly condition: string;
  readonly action: PolicyAction;
  readonly approvalLevel: ApprovalLevel | null;
  readonly priority: number;
  readonly enabled: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of `notification_channels`. */
export interface NotificationChannel {
  readonly id: string;
  readonly name: string;
  readonly channelType: ChannelType;
  readonly config: JsonObject;
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of `settings`. */
export interface Setting {
  readonly key: string;
  readonly value: JsonValue;
  readonly updatedAt: Date;
}
