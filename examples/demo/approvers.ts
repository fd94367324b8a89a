import type { ApprovalLevel } from '@triage-warden/db';
import type { Decision, Floor, OpenIncident } from './floor.ts';
import { fateOf, responseTo } from './triage.ts';

const PEOPLE: Readonly<Record<ApprovalLevel, string>> = {
  analyst: 'dana',
  senior: 'mei',
  manager: 'omar',
  executive: 'ruth',
};

/** Takes what waits for a person: reviews an incident, or asks each level for its word on an action. */
export async function decide(floor: Floor, { incident, approvalIds }: Decision): Promise<void> {
  if (!approvalIds) return review(floor, incident);
  const { levels } = responseTo(incident.alert, incident.severity);
  const isDenied = fateOf(incident.alert).denied;
  for (const [i, level] of levels.entries()) {
    const isLast = i === levels.length - 1;
    const denied = isLast && isDenied;
    await floor.store.as(PEOPLE[level]).transaction(async (tx) => {
      await tx.approvals.decide(
        approvalIds[i] as string, // one for each level
        denied ? { decision: 'denied', reason: 'the host is needed; watch it instead' } : { decision: 'approved' },
      );
      if (isLast && !denied) await tx.incidents.transition(incident.id, { from: 'pending_approval', to: 'executing' });
    });
  }
  if (!isDenied) return; // an executor will claim it
  incident.outcome = incident.severity === 'critical' ? 'escalated' : 'closed';
  await settle(floor, incident);
}

/** One action of an incident has come to its end. With the last one, so has the incident. */
export async function settle(floor: Floor, incident: OpenIncident): Promise<void> {
  incident.openActions--;
  if (incident.openActions > 0) return;
  await floor.store
    .as('triage-agent')
    .incidents.transition(incident.id, { from: ['pending_approval', 'executing'], to: incident.outcome });
  floor.record.finished++;
}

async function review(floor: Floor, { id, alert }: OpenIncident): Promise<void> {
  const to = fateOf(alert).reviewEscalates ? 'escalated' : 'closed';
  await floor.store.as(PEOPLE.analyst).incidents.transition(id, { from: 'pending_review', to });
  floor.record.finished++;
}
