import { setTimeout as sleep } from 'node:timers/promises';
import { type ClaimedAction, ConflictError, type Handle } from '@triage-warden/db';
import { settle } from './approvers.ts';
import { type Floor, isOver, type OpenIncident } from './floor.ts';
import { fateOf } from './triage.ts';

/** Until an executor that found nothing looks again. */
const PAUSE_MS = 10;

/** An executor's day: claims an action that may be executed, carries it out, records what came of it, until all is done. */
export async function execute(floor: Floor, worker: number, done: () => void): Promise<void> {
  const name = `executor-${worker + 1}`;
  const handle = floor.store.as(name);
  while (!isOver(floor)) {
    const [claimed] = await handle.actions.claim({ worker: name });
    const incident = claimed && floor.record.actions.get(claimed.id);
    if (incident) {
      await executeOne(floor, handle, claimed, incident);
      done();
    } else {
      if (claimed) await handle.actions.release(claimed.id, claimed.lease); // of somebody else at the same database
      await sleep(PAUSE_MS);
    }
  }
}

async function executeOne(floor: Floor, handle: Handle, claimed: ClaimedAction, incident: OpenIncident): Promise<void> {
  if (claimed.actionType === 'create_ticket') await createTicket(floor, handle, claimed, incident);
  else {
    const held = fateOf(incident.alert).workerStalls ? await oversleep(floor, handle, claimed) : claimed;
    if (!held) return;
    await contain(floor, handle, held, incident);
  }
  await settle(floor, incident);
}

/** The ticket's number and the end of the action are one change. */
async function createTicket(floor: Floor, handle: Handle, action: ClaimedAction, { id }: OpenIncident): Promise<void> {
  const number = `TW-${carryOut(floor, action)}`;
  await handle.transaction(async (tx) => {
    await tx.actions.complete(action.id, { lease: action.lease.token, result: { ticket: number } });
    await tx.incidents.setTicket(id, number);
  });
}

async function contain(floor: Floor, handle: Handle, action: ClaimedAction, incident: OpenIncident): Promise<void> {
  carryOut(floor, action);
  const lease = action.lease.token;
  if (fateOf(incident.alert).executionFails) {
    await handle.actions.fail(action.id, { lease, result: { error: 'the connector did not answer' } });
    incident.outcome = 'escalated';
  } else await handle.actions.complete(action.id, { lease, result: { done: action.actionType } });
}

/** What a connector would do to the world. Answers how many actions were carried out so far. */
function carryOut({ record: { executions } }: Floor, { id }: ClaimedAction): number {
  executions.set(id, (executions.get(id) ?? 0) + 1);
  return executions.size;
}

/**
 * Falls asleep before doing anything, until the lease has ended and another worker has taken over, if there is one. Who wakes
 * up asks for the lease again and does nothing when it is gone: so that an action is never carried out twice.
 */
async function oversleep(floor: Floor, handle: Handle, claimed: ClaimedAction): Promise<ClaimedAction | null> {
  const { executions, stalled } = floor.record;
  if (stalled.has(claimed.id)) return claimed;
  stalled.add(claimed.id);
  const { lease } = await handle.actions.renew(claimed.id, claimed.lease, { leaseMs: 50 });
  for (let naps = 0; naps < 20 && !executions.has(claimed.id); naps++) await sleep(20);
  try {
    return await handle.actions.renew(claimed.id, lease);
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    floor.record.refusedLeases++;
    return null;
  }
}
