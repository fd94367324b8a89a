import { z } from 'zod';
import { anyJson, limitedText, optionalText, tag, uuid } from './fields.ts';
import type { JsonInput, JsonObject, JsonValue } from './json.ts';
import {
  type ENRICHMENT_TYPES,
  INCIDENT_STATUSES,
  type IncidentStatus,
  type Known,
  SEVERITIES,
  type Severity,
  VERDICTS,
} from './values.ts';

/**
 * Who raised the alert: a tagged name such as `{ siem: 'splunk' }`, the text `'user_reported'`, or a plain object of the
 * caller's own.
 */
export type AlertSource =
  | { readonly siem: string }
  | { readonly edr: string }
  | { readonly email_security: string }
  | { readonly identity_provider: string }
  | { readonly cloud_security: string }
  | { readonly custom: string }
  | 'user_reported'
  | JsonObject;

/** What one lookup found about the incident. */
export interface Enrichment {
  readonly enrichment_type: Known<(typeof ENRICHMENT_TYPES)[number]> | { readonly custom: string };
  /** Who answered, such as `virus_total`. */
  readonly source: string;
  readonly data: JsonValue;
  /** When it was gathered, ISO 8601. */
  readonly timestamp: string;
  /** Seconds for which it may be reused. */
  readonly ttl_seconds?: number | null;
  readonly [key: string]: JsonValue | undefined;
}

/** An enrichment to be added; `timestamp` is now unless it is given. */
export interface NewEnrichment {
  readonly enrichment_type: Enrichment['enrichment_type'];
  readonly source: string;
  /** Any JSON value; rawJson() cannot stand inside of another value. */
  readonly data: JsonInput;
  readonly timestamp?: string | undefined;
  readonly ttl_seconds?: number | null | undefined;
  readonly [key: string]: unknown;
}

/** A technique of MITRE ATT&CK. */
export interface MitreTechnique {
  /** Such as `T1566.001`. */
  readonly id: string;
  readonly name?: string;
  readonly tactic?: string;
  /** 0 to 1. */
  readonly confidence?: number;
  readonly [key: string]: JsonValue | undefined;
}

/** An indicator of compromise. */
export interface Ioc {
  readonly ioc_type: string | { readonly other: string };
  readonly value: string;
  readonly context?: string | null;
  /** Maliciousness, 0 to 1. */
  readonly score?: number | null;
  readonly [key: string]: JsonValue | undefined;
}

/** The triage analysis of an incident. */
export interface Analysis {
  readonly verdict: (typeof VERDICTS)[number];
  /** 0 to 1. */
  readonly confidence: number;
  readonly summary: string;
  /** 0 to 100, whole. */
  readonly risk_score: number;
  readonly reasoning: string;
  readonly mitre_techniques: readonly MitreTechnique[];
  readonly iocs: readonly Ioc[];
  readonly recommendations: readonly string[];
  /** The model, agent or person. */
  readonly analyzed_by: string;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly evidence?: readonly JsonValue[];
  readonly investigation_steps?: readonly JsonValue[];
  readonly [key: string]: JsonValue | undefined;
}

/** An analysis to be stored: lists are empty, `analyzed_by` is the actor and `timestamp` is now unless they are given. */
export interface NewAnalysis {
  readonly verdict: Analysis['verdict'];
  readonly confidence: number;
  readonly summary: string;
  readonly risk_score: number;
  readonly reasoning?: string | undefined;
  readonly mitre_techniques?: readonly MitreTechnique[] | undefined;
  readonly iocs?: readonly Ioc[] | undefined;
  readonly recommendations?: readonly string[] | undefined;
  readonly analyzed_by?: string | undefined;
  readonly timestamp?: string | undefined;
  readonly evidence?: readonly JsonValue[] | undefined;
  readonly investigation_steps?: readonly JsonValue[] | undefined;
  readonly [key: string]: unknown;
}

/** An action that the analysis proposes, as it stands in the incident. `actions.propose` makes it one to be approved. */
export interface ProposedAction {
  readonly action_type: string | { readonly custom: string };
  readonly reason: string;
  readonly target?: JsonValue;
  readonly parameters?: JsonObject;
  /** 1 to 100; the lower, the sooner. */
  readonly priority?: number;
  readonly [key: string]: JsonValue | undefined;
}

/** A row of `incidents`. */
export interface Incident {
  readonly id: string;
  readonly source: AlertSource;
  readonly severity: Severity;
  readonly status: IncidentStatus;
  readonly alertData: JsonValue;
  /** In the order in which they were added. */
  readonly enrichments: readonly Enrichment[];
  /** Null until the incident was analysed. */
  readonly analysis: Analysis | null;
  readonly proposedActions: readonly ProposedAction[];
  readonly ticketId: string | null;
  /** No tag stands twice. */
  readonly tags: readonly string[];
  readonly metadata: JsonObject;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** An incident to be created. Its status is `new` unless it is given. */
export interface NewIncident {
  /** The caller's own UUID; a UUIDv7 unless it is given. */
  readonly id?: string | undefined;
  readonly source: AlertSource;
  readonly severity: Severity;
  readonly status?: IncidentStatus | undefined;
  readonly alertData: JsonInput;
  readonly enrichments?: readonly NewEnrichment[] | undefined;
  readonly analysis?: NewAnalysis | null | undefined;
  readonly proposedActions?: readonly ProposedAction[] | undefined;
  readonly ticketId?: string | null | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: JsonObject | undefined;
  /** When the alert came; now unless it is given. */
  readonly createdAt?: Date | undefined;
}

/** What `update` changes: a member that is left out, or undefined, keeps its value; null clears it. */
export interface IncidentPatch {
  readonly source?: AlertSource | undefined;
  readonly severity?: Severity | undefined;
  readonly alertData?: JsonInput | undefined;
  readonly ticketId?: string | null | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: JsonObject | undefined;
}

const unit = z.number().min(0).max(1);
const isoText = z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'is not an ISO 8601 time');
const name = limitedText(200);

const customName = z.looseObject({ custom: name });

export const alertSource = z.union([
  z.literal('user_reported'),
  z.looseObject({
    siem: name.optional(),
    edr: name.optional(),
    email_security: name.optional(),
    identity_provider: name.optional(),
    cloud_security: name.optional(),
    custom: name.optional(),
  }),
]);

export const newEnrichment = z.looseObject({
  enrichment_type: z.union([name, customName]),
  source: name,
  data: anyJson,
  timestamp: isoText.optional(),
  ttl_seconds: z.number().int().min(0).nullish(),
});

const mitreTechnique = z.looseObject({
  id: z.string().min(1),
  name: z.string().optional(),
  tactic: z.string().optional(),
  confidence: unit.optional(),
});

const ioc = z.looseObject({
  ioc_type: z.union([z.string().min(1), z.looseObject({ other: z.string() })]),
  value: z.string(),
  context: z.string().nullish(),
  score: unit.nullish(),
});

export const newAnalysis = z.looseObject({
  verdict: z.enum(VERDICTS),
  confidence: unit,
  summary: z.string(),
  risk_score: z.number().int().min(0).max(100),
  reasoning: z.string().optional(),
  mitre_techniques: z.array(mitreTechnique).optional(),
  iocs: z.array(ioc).optional(),
  recommendations: z.array(z.string()).optional(),
  analyzed_by: name.optional(),
  timestamp: isoText.optional(),
  evidence: z.array(anyJson).optional(),
  investigation_steps: z.array(anyJson).optional(),
});

export const proposedAction = z.looseObject({
  action_type: z.union([name, customName]),
  reason: z.string(),
  target: anyJson.optional(),
  parameters: z.looseObject({}).optional(),
  priority: z.number().int().min(1).max(100).optional(),
});

export const ticketId = limitedText(500);
export const tags = z.array(tag);
const metadata = z.looseObject({});

export const newIncident = z.strictObject({
  id: uuid.optional(),
  source: alertSource,
  severity: z.enum(SEVERITIES),
  status: z.enum(INCIDENT_STATUSES).optional(),
  alertData: anyJson,
  enrichments: z.array(newEnrichment).optional(),
  analysis: newAnalysis.nullish(),
  proposedActions: z.array(proposedAction).optional(),
  ticketId: ticketId.nullish(),
  tags: tags.optional(),
  metadata: metadata.optional(),
  createdAt: z.date().optional(),
});

export const incidentPatch = z.strictObject({
  source: alertSource.optional(),
  severity: z.enum(SEVERITIES).optional(),
  alertData: anyJson.optional(),
  ticketId: optionalText(500),
  tags: tags.optional(),
  metadata: metadata.optional(),
});
