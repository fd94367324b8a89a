/** What a real service would ask its models and connectors: the answers of this one are made up, and always the same. */
import { createHash } from 'node:crypto';
import type {
  ActionTarget,
  ActionType,
  AlertSource,
  ApprovalLevel,
  NewAnalysis,
  NewEnrichment,
  Severity,
} from '@triage-warden/db';
import type { Alert } from './alerts.ts';

/** What is to be done about an incident. */
export interface Response {
  readonly actionType: ActionType;
  readonly target: ActionTarget;
  /** Who has to approve, one after the other. */
  readonly levels: readonly ApprovalLevel[];
}

/** How the made-up world will behave for one alert. */
export interface Fate {
  readonly denied: boolean;
  readonly executionFails: boolean;
  /** The first worker that claims the response falls asleep until its lease has ended. */
  readonly workerStalls: boolean;
  readonly reviewEscalates: boolean;
}

const KINDS = [
  ['email_security', /mail|phish|proofpoint|abnormal|armorblox|agari/i],
  ['identity_provider', /identity|okta|duo\b|workspace|directory|cyberark/i],
  [
    'edr',
    /edr|endpoint|carbon black|crowdstrike|sentinelone|cylance|eset|epo\b|apex|sysmon|windows|tetragon|falco|mobile|lookout|zimperium/i,
  ],
  ['cloud_security', /cloud|aws|prowler|wiz|orca|argos|sonrai|alcide|upwind|github|snyk|google security/i],
  ['siem', /siem|ossec|exabeam|thehive|cef\b/i],
] as const;

/** Which sort of product raised the alert: told by its name. */
export function sourceOf({ product }: Alert): AlertSource {
  const [kind] = KINDS.find(([, names]) => names.test(product)) ?? ['custom'];
  return { [kind]: product };
}

const RATING =
  /"\w*(?:severity|priority|urgency|(?:risk|threat)_?level|score)\w*"\s*:\s*(?:\{[^{}]*"label"\s*:\s*)?"?([\w.-]{1,20})\b/gi;
const WORDS: readonly (readonly [Severity, RegExp])[] = [
  ['critical', /^(critical|severe|emergency|very.?high|fatal|red)/i],
  ['high', /^(high|elevated|important|major|error|alert|orange)/i],
  ['medium', /^(medium|moderate|warn|yellow)/i],
  ['low', /^(low|minor|notice|green)/i],
  ['info', /^(info|debug)/i],
];

/** The first rating in words that the alert holds, else the first in numbers; `low` when there is neither. */
export function severityOf({ product, text }: Alert): Severity {
  const ratings = Array.from(text.matchAll(RATING), ([, rating = '']) => rating);
  for (const rating of ratings) {
    const named = WORDS.find(([, names]) => names.test(rating));
    if (named) return named[0];
  }
  const number = ratings.find((rating) => /^\d+(\.\d+)?$/.test(rating));
  if (number === undefined) return 'low';
  return /suricata|ids\b/i.test(product) ? ofRank(Number(number)) : ofScore(Number(number));
}

/** Network sensors count from 1, the gravest. */
const ofRank = (rank: number): Severity => (['critical', 'high', 'medium', 'low'] as const)[rank] ?? 'info';

function ofScore(score: number): Severity {
  const ofTen = score > 10 ? score / 10 : score;
  if (ofTen >= 9) return 'critical';
  if (ofTen >= 7) return 'high';
  if (ofTen >= 4) return 'medium';
  return ofTen >= 1 ? 'low' : 'info';
}

/** What several services answer about an alert. */
export function enrichmentsOf(alert: Alert): readonly NewEnrichment[] {
  const [reputation = 0, country = 0, earlier = 0] = diceOf(alert);
  const indicator = addressIn(alert);
  return [
    {
      enrichment_type: 'threat_intel',
      source: 'virus_total',
      data: { indicator, malicious: reputation % 60 },
      ttl_seconds: 3600,
    },
    {
      enrichment_type: 'geo_location',
      source: 'max_mind',
      data: { indicator, country: ['NL', 'BR', 'IN', 'US'][country % 4] },
    },
    {
      enrichment_type: 'historical_correlation',
      source: 'splunk',
      data: { similar_incidents: earlier % 7, window_days: 30 },
    },
  ];
}

const RISK: Readonly<Record<Severity, number>> = { info: 5, low: 20, medium: 45, high: 70, critical: 90 };

/** What the analyst concludes: the graver the alert, the likelier it is true. */
export function analysisOf(alert: Alert, severity: Severity): NewAnalysis {
  const [chance = 0, doubt = 0] = diceOf(alert);
  const risk = Math.min(RISK[severity] + (chance % 10), 100);
  const verdict = verdictOf(risk + (doubt % 40) - 20);
  return {
    verdict,
    confidence: 0.6 + (doubt % 40) / 100,
    risk_score: risk,
    summary: `${alert.product}: ${verdict.replaceAll('_', ' ')}`,
    iocs: [{ ioc_type: 'ip', value: addressIn(alert), score: risk / 100 }],
    mitre_techniques: [{ id: 'T1071.001', name: 'Web Protocols', tactic: 'command-and-control' }],
    recommendations: risk >= 45 ? ['contain', 'open a ticket'] : ['watch'],
  };
}

function verdictOf(score: number): NewAnalysis['verdict'] {
  if (score >= 75) return 'true_positive';
  if (score >= 45) return 'likely_true_positive';
  if (score >= 30) return 'suspicious';
  return score >= 15 ? 'inconclusive' : 'false_positive';
}

const CHAINS: Readonly<Record<Severity, readonly ApprovalLevel[]>> = {
  info: ['analyst'],
  low: ['analyst'],
  medium: ['analyst'],
  high: ['analyst', 'senior'],
  critical: ['senior', 'manager'],
};

/** What to do about an alert of this severity, and who has to agree. */
export function responseTo(alert: Alert, severity: Severity): Response {
  const levels = CHAINS[severity];
  const hostname = /"(?:host|hostname|computer|device_?name)"\s*:\s*"([\w.-]{1,60})"/i.exec(alert.text)?.[1];
  if (hostname) return { actionType: 'isolate_host', target: { host: { hostname } }, levels };
  const username = /"(?:user|username|user_?name|actor)"\s*:\s*"([\w.@-]{1,60})"/i.exec(alert.text)?.[1];
  if (username) return { actionType: 'revoke_sessions', target: { user: { username } }, levels };
  return { actionType: 'block_ip', target: { ip_address: addressIn(alert) }, levels };
}

export function fateOf(alert: Alert): Fate {
  const dice = diceOf(alert);
  const oneIn = (sides: number, die: number) => (dice[die] ?? 0) % sides === 0;
  return {
    denied: oneIn(8, 3),
    workerStalls: oneIn(16, 5),
    executionFails: oneIn(10, 6),
    reviewEscalates: oneIn(4, 11),
  };
}

const addressIn = ({ text }: Alert) => /\b(?:\d{1,3}\.){3}\d{1,3}\b/.exec(text)?.[0] ?? '192.0.2.1';

const diceOf = ({ text }: Alert) => createHash('sha256').update(text).digest();
