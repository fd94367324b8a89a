import { rawJson } from '@triage-warden/db';
import type { Alert } from './alerts.ts';
import type { Floor, OpenIncident } from './floor.ts';
import { analysisOf, enrichmentsOf, responseTo, severityOf, sourceOf } from './triage.ts';

const HOUR = 3_600_000;

/** An alert that the database did not take. */
export class AlertRefusedError extends Error {
  constructor({ line, product }: Alert, cause: unknown) {
    super(`Line ${line} (${product}) was not stored`, { cause });
  }
}

/** Stores an alert as an incident: its text as it is, since JavaScript's numbers would round what it holds. */
export async function ingest(floor: Floor, alert: Alert): Promise<void> {
  const severity = severityOf(alert);
  try {
    const { id } = await floor.store.as('ingest').incidents.create({
      source: sourceOf(alert),
      severity,
      alertData: rawJson(alert.text),
      tags: [floor.tag],
      metadata: { line: alert.line },
    });
    const incident: OpenIncident = { id, alert, severity, openActions: 0, outcome: 'resolved' };
    floor.record.incidents.push(incident);
    await floor.toAnalyse.push(incident);
  } catch (error) {
    throw new AlertRefusedError(alert, error);
  }
}

/** Enriches an incident from several services at once, draws a conclusion, and hands it to whoever comes next. */
export async function analyse(floor: Floor, incident: OpenIncident): Promise<void> {
  const { id, alert, severity } = incident;
  const agent = floor.store.as('triage-agent');
  await agent.incidents.transition(id, { from: 'new', to: 'enriching' });
  await Promise.all(
    enrichmentsOf(alert).map((found) => floor.store.as(found.source).incidents.addEnrichment(id, found)),
  );
  await agent.incidents.transition(id, { from: 'enriching', to: 'analyzing' });
  const analysis = analysisOf(alert, severity);
  await agent.incidents.setAnalysis(id, analysis);
  floor.record.analysed++;
  if (analysis.verdict === 'false_positive') {
    await agent.incidents.transition(id, { from: 'analyzing', to: 'false_positive' });
    floor.record.finished++;
  } else if (analysis.verdict === 'inconclusive') {
    await agent.incidents.transition(id, { from: 'analyzing', to: 'pending_review' });
    await floor.toDecide.push({ incident });
  } else await propose(floor, incident);
}

/** Proposes a ticket, which needs nobody's word, and a response, which does: all of it, or nothing. */
async function propose(floor: Floor, incident: OpenIncident): Promise<void> {
  const { id: incidentId, alert, severity } = incident;
  const { levels, ...response } = responseTo(alert, severity);
  const approvals = await floor.store.as('triage-agent').transaction(async (tx) => {
    await tx.incidents.transition(incidentId, { from: 'analyzing', to: 'pending_approval' });
    const ticket = await tx.actions.propose({
      incidentId,
      actionType: 'create_ticket',
      target: 'none',
      reason: 'every incident that is acted upon has a ticket',
      priority: 80,
    });
    await tx.as('policy:tickets').actions.autoApprove(ticket.id);
    const action = await tx.actions.propose({
      incidentId,
      ...response,
      reason: 'contain what was found',
      priority: 20,
    });
    // before the commit: from then on, an executor may claim the ticket at any time
    incident.openActions = 2;
    for (const { id } of [ticket, action]) floor.record.actions.set(id, incident);
    return tx.approvals.requestChain({ actionId: action.id, levels, expiresAt: new Date(Date.now() + HOUR) });
  });
  await floor.toDecide.push({ incident, approvalIds: approvals.map(({ id }) => id) });
}
