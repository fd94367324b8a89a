import { type AuditLog, DecodeError, type Incident, NotFoundError, type Store } from '@triage-warden/db';
import { canonicalJson, isJson } from './canonical-json.ts';
import type { Floor, OpenIncident } from './floor.ts';

/** What the database holds of a run, and what is wrong with it. */
export interface Proof {
  /** One sentence for each thing that is not as it should be. */
  readonly problems: string[];
  /** Alerts that are stored exactly as they came. */
  equalAlerts: number;
  auditEntries: number;
  /** Audit entries by what they tell. */
  readonly entriesByAction: Map<string, number>;
  /** The incident to which the most happened. */
  longest: Story | undefined;
}

/** An incident, as it is and as it came to be so. */
export interface Story {
  readonly incident: Incident;
  readonly open: OpenIncident;
  readonly trail: readonly AuditLog[];
}

/**
 * Reads back everything that a run wrote. Every alert has its incident, with the same JSON as its source; every incident has
 * an unbroken trail; every action came to one end, and was carried out no more than once.
 */
export async function prove({ store, tag, record }: Floor, readers: number, onRead: () => void): Promise<Proof> {
  const proof: Proof = {
    problems: [],
    equalAlerts: 0,
    auditEntries: 0,
    entriesByAction: new Map(),
    longest: undefined,
  };
  const stored = await store.incidents.count({ tag });
  if (stored !== record.total) proof.problems.push(`There are ${record.total} alerts, and ${stored} incidents`);
  const flaws = new Map<OpenIncident, readonly string[]>();
  const queue = record.incidents.values();
  await Promise.all(
    Array.from({ length: readers }, async () => {
      for (const open of queue) {
        flaws.set(open, await flawsOf(store, open, proof));
        onRead();
      }
    }),
  );
  for (const [{ id, alert }, found] of [...flaws].sort(([a], [b]) => a.alert.line - b.alert.line))
    proof.problems.push(...found.map((flaw) => `Line ${alert.line} (${alert.product}), incident ${id}: ${flaw}`));
  for (const [actionId, times] of record.executions)
    if (times > 1) proof.problems.push(`The action ${actionId} was carried out ${times} times`);
  return proof;
}

/** What is wrong with one incident; what is right is counted in the proof. */
async function flawsOf(store: Store, open: OpenIncident, proof: Proof): Promise<readonly string[]> {
  try {
    const difference = differenceOf(open.alert.text, await store.incidents.alertText(open.id));
    if (!difference) proof.equalAlerts++;
    const incident = await store.incidents.get(open.id);
    const trail: AuditLog[] = [];
    for await (const entry of store.auditLogs.stream({ incidentId: open.id })) trail.push(entry);
    count(proof, { incident, open, trail });
    return [...(difference ? [difference] : []), ...trailFlaws(trail, incident), ...actionFlaws(trail)];
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof DecodeError) return [error.message];
    throw error;
  }
}

function count(proof: Proof, told: Story): void {
  const { trail } = told;
  proof.auditEntries += trail.length;
  for (const { action } of trail) proof.entriesByAction.set(action, (proof.entriesByAction.get(action) ?? 0) + 1);
  if (trail.length > (proof.longest?.trail.length ?? 0)) proof.longest = told;
}

/** What differs between an alert and what is stored of it, as JSON values; null when nothing does. */
function differenceOf(source: string, stored: string): string | null {
  const came = canonicalJson(source);
  const kept = isJson(stored) ? canonicalJson(stored) : stored;
  if (came === kept) return null;
  let at = 0;
  while (came[at] === kept[at]) at++;
  const around = (text: string) => text.slice(Math.max(at - 30, 0), at + 30);
  return `the stored alert differs from its source\n    came  …${around(came)}…\n    kept  …${around(kept)}…`;
}

/** A trail tells of the creation, and then of every status up to the one that the incident has. */
function trailFlaws(trail: readonly AuditLog[], { status }: Incident): readonly string[] {
  const flaws: string[] = [];
  if (trail[0]?.action !== 'incident_created') flaws.push('its trail does not start with incident_created');
  let told: unknown = trail[0]?.details?.status;
  for (const { action, details } of trail) {
    if (action !== 'status_changed') continue;
    if (details?.from !== told) flaws.push(`its trail jumps from ${told} to ${details?.from}`);
    told = details?.to;
  }
  if (told !== status) flaws.push(`its trail ends at ${told}, and its status is ${status}`);
  return flaws;
}

/** Every action that was proposed came to one end. */
function actionFlaws(trail: readonly AuditLog[]): readonly string[] {
  const ends = trail.filter(({ action }) => /^action_(executed|failed|denied)$/.test(action));
  return trail
    .filter(({ action }) => action === 'action_proposed')
    .map(({ details }) => ({
      id: details?.action_id,
      times: ends.filter((end) => end.details?.action_id === details?.action_id).length,
    }))
    .filter(({ times }) => times !== 1)
    .map(({ id, times }) => `the action ${id} ended ${times} times`);
}
