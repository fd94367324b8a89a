import type { AuditLog, JsonObject } from '@triage-warden/db';
import { type Colour, clip, number, paint, WIDTH } from './terminal.ts';

const COLOURS: readonly (readonly [RegExp, Colour])[] = [
  [/denied|failed|expired/, 'red'],
  [/approved|executed|ticket/, 'green'],
  [/requested|proposed|claimed|lease|released/, 'yellow'],
  [/status|created/, 'blue'],
];

/** An audit trail, a line for each entry: when, who, what. */
export function timeline(trail: readonly AuditLog[]): readonly string[] {
  const start = trail[0]?.createdAt.getTime() ?? 0;
  return trail.map(({ action, actor, details, createdAt }, i) => {
    const at = `+${number((createdAt.getTime() - start) / 1000, 3)} s`.padStart(11);
    const [, colour] = COLOURS.find(([names]) => names.test(action)) ?? [undefined, 'magenta' as const];
    const line = i === trail.length - 1 ? '╰' : i === 0 ? '╭' : '│';
    const told = clip(brief(details), WIDTH - 58);
    return `${paint('grey', `${at} ${line}`)}${paint(colour, '●')} ${clip(actor, 16).padEnd(16)} ${paint(colour, action.padEnd(22))} ${told}`;
  });
}

/** What the details say that a person wants to know. */
function brief(details: JsonObject | null): string {
  const {
    from,
    to,
    action_type,
    enrichment_type,
    source,
    verdict,
    risk_score,
    level,
    status,
    severity,
    worker,
    reason,
  } = details ?? {};
  const parts = [
    to === undefined ? undefined : from ? `${from} → ${to}` : to,
    action_type,
    enrichment_type && `${enrichment_type} from ${source}`,
    verdict && `${verdict}, risk ${risk_score}`,
    level && `by the ${level}`,
    severity && `${severity}, ${status}`,
    worker && `for ${worker}`,
    reason,
  ];
  return parts.filter((part) => part !== undefined && part !== null && part !== '').join(', ');
}
