/** Incidents as an ingest worker would make them, with alerts of 1 to 2 kB: the same ones in every run. */
import type { IncidentStatus, NewIncident } from './library.ts';

type Random = () => number;

/** Mulberry32: small, and equal everywhere. */
function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const below = (random: Random, limit: number) => Math.floor(random() * limit);
const pick = <T>(random: Random, values: readonly T[]): T => values[below(random, values.length)] as T; // never empty
const hex = (random: Random, length: number) =>
  Array.from({ length: Math.ceil(length / 8) }, () =>
    below(random, 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  )
    .join('')
    .slice(0, length);
const address = (random: Random) => `10.${below(random, 256)}.${below(random, 256)}.${below(random, 256)}`;

const USERS = ['a.meyer', 'b.okafor', 'c.lindqvist', 'd.novak', 'e.tanaka', 'f.rossi', 'svc-backup', 'svc-deploy'];
const IMAGES = ['powershell.exe', 'rundll32.exe', 'mshta.exe', 'wscript.exe', 'certutil.exe', 'regsvr32.exe'];
const DOMAINS = ['cdn-update.example', 'login-portal.example', 'files.example', 'invoice-service.example'];
const SEVERITIES = ['info', 'low', 'low', 'medium', 'medium', 'medium', 'high', 'high', 'critical'] as const;
/** Most incidents are done with; a few wait. */
const STATUSES = [
  ...Array<IncidentStatus>(10).fill('closed'),
  ...(['resolved', 'resolved', 'false_positive', 'false_positive', 'escalated', 'pending_review'] as const),
  ...(['new', 'enriching', 'analyzing', 'pending_approval'] as const),
];

const process = (random: Random, time: string) => ({
  image: `C:\\Windows\\System32\\${pick(random, IMAGES)}`,
  pid: below(random, 65_536),
  command_line: `${pick(random, IMAGES)} -NoProfile -WindowStyle Hidden -EncodedCommand ${hex(random, 96)}`,
  sha256: hex(random, 64),
  user: `CORP\\${pick(random, USERS)}`,
  integrity_level: pick(random, ['Low', 'Medium', 'High', 'System']),
  started_at: time,
});

const endpointAlert = (random: Random, time: string) => ({
  product: 'Endpoint Sensor',
  rule: { id: `EDR-${below(random, 900) + 100}`, name: 'Suspicious process chain', version: 7, tactic: 'Execution' },
  detected_at: time,
  host: {
    hostname: `ws-${below(random, 5000)}`,
    ip: address(random),
    os: { name: 'Windows 11 Enterprise', build: '22631.3447', arch: 'x64' },
    agent: { id: hex(random, 32), version: '6.44.1', online: true },
  },
  process: process(random, time),
  parent: process(random, time),
  network: Array.from({ length: 1 + below(random, 3) }, () => ({
    direction: 'outbound',
    protocol: 'tcp',
    remote_ip: address(random),
    remote_port: pick(random, [80, 443, 8443]),
    bytes_out: below(random, 1e6),
    domain: pick(random, DOMAINS),
  })),
  score: below(random, 101),
});

const mailAlert = (random: Random, time: string) => ({
  product: 'Mail Gateway',
  rule: 'Credential phishing',
  received_at: time,
  message_id: `<${hex(random, 32)}@${pick(random, DOMAINS)}>`,
  from: {
    address: `billing@${pick(random, DOMAINS)}`,
    display_name: 'Accounts Payable — “Überweisung”',
    spf: 'softfail',
    dkim: 'none',
  },
  to: [`${pick(random, USERS)}@corp.example`, `${pick(random, USERS)}@corp.example`],
  subject: `Invoice ${below(random, 1e6)} is overdue: action required today`,
  urls: Array.from({ length: 3 }, () => ({
    url: `https://${pick(random, DOMAINS)}/a/${hex(random, 24)}?u=${hex(random, 16)}`,
    verdict: pick(random, ['malicious', 'suspicious', 'unknown']),
    first_seen: time,
  })),
  attachments: [{ name: 'invoice.html', bytes: below(random, 1e5), mime: 'text/html', sha256: hex(random, 64) }],
  headers: { received: Array.from({ length: 3 }, () => `from ${hex(random, 8)}.mx.example (${address(random)})`) },
});

const enrichment = (random: Random, timestamp: string) => ({
  enrichment_type: 'threat_intel',
  source: 'virus_total',
  timestamp,
  data: { sha256: hex(random, 64), positives: below(random, 70), total: 72, names: ['trojan.generic', 'loader'] },
});

const analysis = (random: Random, timestamp: string) => ({
  verdict: pick(random, ['true_positive', 'suspicious', 'false_positive'] as const),
  confidence: below(random, 101) / 100,
  summary: 'An encoded command was started by an office application and reached a domain registered this week.',
  risk_score: below(random, 101),
  reasoning: 'The process chain and the age of the domain agree with earlier incidents of the same campaign.',
  mitre_techniques: [{ id: 'T1059.001', name: 'PowerShell', tactic: 'execution', confidence: 0.9 }],
  iocs: [{ ioc_type: 'sha256', value: hex(random, 64), score: 0.8 }],
  recommendations: ['Isolate the host', 'Reset the credentials of the user'],
  analyzed_by: 'triage-agent',
  timestamp,
});

/** An incident as it comes in: not yet enriched, and without an id. */
export function newIncident(index: number): NewIncident {
  const random = seeded(index);
  const time = new Date(Date.UTC(2025, 0, 1) + index * 60_000).toISOString();
  const isMail = random() < 0.3;
  return {
    source: isMail ? { email_security: 'mail-gateway' } : { edr: 'endpoint-sensor' },
    severity: pick(random, SEVERITIES),
    alertData: isMail ? mailAlert(random, time) : endpointAlert(random, time),
    tags: isMail ? ['phishing', 'mail'] : ['endpoint'],
    metadata: { tenant: `tenant-${below(random, 20)}`, ingest: { worker: below(random, 8), attempt: 1 } },
  };
}

/** An incident of the past, a minute after the one before it, wherever triage has brought it. */
export function pastIncident(index: number): NewIncident {
  const random = seeded(~index);
  const createdAt = new Date(Date.UTC(2025, 0, 1) + index * 60_000);
  const time = createdAt.toISOString();
  const status = pick(random, STATUSES);
  const isUntouched = status === 'new' || status === 'enriching';
  return {
    ...newIncident(index),
    status,
    createdAt,
    enrichments: isUntouched ? [] : [enrichment(random, time), enrichment(random, time)],
    analysis: isUntouched ? null : analysis(random, time),
    ticketId: random() < 0.2 ? `SOC-${index}` : null,
  };
}
