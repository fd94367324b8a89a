import {
  INCIDENT_STATUSES,
  type IncidentStats,
  type IncidentStatus,
  SEVERITIES,
  type Severity,
} from '@triage-warden/db';
import type { RunRecord } from './floor.ts';
import type { Proof } from './proof.ts';
import { bar, type Colour, clip, number, paint, WIDTH } from './terminal.ts';
import { timeline } from './timeline.ts';

const SEVERITY_COLOURS: Readonly<Record<Severity, Colour>> = {
  critical: 'magenta',
  high: 'red',
  medium: 'yellow',
  low: 'blue',
  info: 'grey',
};
const STATUS_COLOURS: Partial<Record<IncidentStatus, Colour>> = {
  resolved: 'green',
  false_positive: 'blue',
  closed: 'grey',
  escalated: 'red',
};
const COLUMN = WIDTH / 2 - 2;
const MOST_PROBLEMS = 20;

/** Everything that a person wants to see of a run, as lines of at most WIDTH characters. */
export function summarise(stats: IncidentStats, record: RunRecord, proof: Proof, seconds: number): readonly string[] {
  return [
    ...sideBySide(
      chart('Severity', [...SEVERITIES].reverse(), stats.bySeverity, SEVERITY_COLOURS),
      chart('Status', INCIDENT_STATUSES, stats.byStatus, STATUS_COLOURS),
    ),
    '',
    heading('Throughput'),
    ...facts([
      [number(record.total / seconds, 1), 'incidents a second'],
      [number(proof.auditEntries / seconds), 'writes a second'],
      [number((seconds * 1000) / proof.auditEntries, 2), 'ms a write'],
      [number(proof.auditEntries), 'audit entries'],
    ]),
    '',
    heading('Actions'),
    ...facts([
      [entries(proof, 'action_executed'), 'executed'],
      [entries(proof, 'action_failed'), 'failed'],
      [entries(proof, 'action_denied'), 'denied'],
      [number([...record.executions.values()].filter((times) => times > 1).length), 'executed twice'],
      [number(record.refusedLeases), 'stale leases refused'],
    ]),
    '',
    ...story(proof),
  ];
}

/** The verdict: what is wrong, if anything is, and how many alerts are as they came. */
export function conclude({ problems, equalAlerts }: Proof, total: number): readonly string[] {
  const shown = problems.slice(0, MOST_PROBLEMS).map((problem) => paint('red', `  ✗ ${problem}`));
  if (problems.length > MOST_PROBLEMS)
    shown.push(paint('red', `  ✗ and ${number(problems.length - MOST_PROBLEMS)} more`));
  const verdict = `${number(equalAlerts)} of ${number(total)} alerts are stored exactly as they came.`;
  return [...shown, equalAlerts === total ? paint('green', `  ✓ ${verdict}`) : paint('red', `  ✗ ${verdict}`)];
}

const heading = (text: string) => paint('bold', `  ${text}`);

const entries = ({ entriesByAction }: Proof, action: string) => number(entriesByAction.get(action) ?? 0);

const facts = (pairs: readonly (readonly [string, string])[]) => [
  `  ${pairs.map(([value, what]) => `${paint('cyan', value)} ${what}`).join(paint('grey', '  ·  '))}`,
];

/** A chart's line, as it is printed and how wide it is then. */
interface Line {
  readonly text: string;
  readonly width: number;
}

function chart<Name extends string>(
  title: string,
  names: readonly Name[],
  counts: Readonly<Record<Name, number>>,
  colours: Readonly<Partial<Record<Name, Colour>>>,
): readonly Line[] {
  const shown = names.filter((name) => counts[name] > 0);
  const most = Math.max(...shown.map((name) => counts[name]), 1);
  const longest = Math.max(...shown.map((name) => name.length), 0);
  const lines = shown.map((name) => {
    const blocks = bar(counts[name] / most, COLUMN - longest - 10);
    const label = `  ${name.padEnd(longest)}  `;
    const count = ` ${number(counts[name])}`;
    return {
      text: `${label}${paint(colours[name] ?? 'cyan', blocks)}${count}`,
      width: label.length + blocks.length + count.length,
    };
  });
  return [{ text: heading(title), width: title.length + 2 }, ...lines];
}

function sideBySide(left: readonly Line[], right: readonly Line[]): readonly string[] {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => {
    const { text, width } = left[i] ?? { text: '', width: 0 };
    return `${text}${' '.repeat(COLUMN - width)}${right[i]?.text ?? ''}`.trimEnd();
  });
}

function story({ longest }: Proof): readonly string[] {
  if (!longest) return [];
  const { incident, open, trail } = longest;
  const about = `${incident.severity}, line ${open.alert.line}, ${open.alert.product}`;
  return [
    `${heading('One incident')}  ${paint('grey', clip(`${incident.id}  ${about}`, WIDTH - 16))}`,
    ...timeline(trail),
    '',
  ];
}
