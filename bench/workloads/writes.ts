import assert from 'node:assert/strict';
import { newIncident } from '../alerts.ts';
import type { AuditLog, Incident, NewAuditLog } from '../library.ts';
import type { Workload } from '../measure.ts';
import type { Move } from '../raw-driver.ts';
import { cycle, type Setting } from './setting.ts';

/** Incidents of each side that are moved to and fro. */
const MOVED = 200;
const THERE: Move = { from: 'new', to: 'enriching' };
const BACK: Move = { from: 'enriching', to: 'new' };

export const writeWorkloads = (setting: Setting): readonly Workload[] => [
  insert(setting),
  insertAtOnce(setting),
  create(setting),
  transition(setting),
];

function insert({ ours, raw, ids }: Setting): Workload {
  const log = cycle(
    ids.map(
      (incidentId, i): NewAuditLog => ({
        incidentId,
        action: 'comment_added',
        details: { comment: 'The user confirms the sign-in: seen before, same device', thread: i },
      }),
    ),
  );
  return {
    name: 'insert',
    aim: 1.3,
    operations: 20,
    raw: (index) => raw.appendAudit(log(index)),
    ours: (index) => ours.auditLogs.append(log(index)),
    async verify() {
      const [mine, theirs] = [await ours.auditLogs.append(log(0)), await raw.appendAudit(log(0))];
      assert.deepEqual(lasting(mine), lasting(theirs));
      for (const one of [mine, theirs]) assert.deepEqual(await ours.auditLogs.get(one.id), one);
    },
  };
}

/** Callers that write at the same moment, such as ingest workers of one process. */
const CALLERS = 32;

function insertAtOnce({ ours, raw, ids }: Setting): Workload {
  const id = cycle(ids);
  const log = (index: number): NewAuditLog => ({
    incidentId: id(index),
    action: 'comment_added',
    details: { comment: 'seen before' },
  });
  const callers = Array.from({ length: CALLERS }, (_, i) => i);
  return {
    name: `${CALLERS} inserts at once`,
    aim: ours.dialect === 'sqlite' ? 0.2 : 1.3,
    operations: 3,
    raw: async (index) => Promise.all(callers.map((i) => raw.appendAudit(log(index * CALLERS + i)))),
    ours: (index) => Promise.all(callers.map((i) => ours.auditLogs.append(log(index * CALLERS + i)))),
    async verify() {
      const all = await Promise.all(callers.map((i) => ours.auditLogs.append(log(i))));
      for (const one of all) assert.deepEqual(await ours.auditLogs.get(one.id), one);
    },
  };
}

function create({ ours, raw }: Setting): Workload {
  const incident = cycle(Array.from({ length: 1000 }, (_, i) => newIncident(i)));
  return {
    name: 'incident + audit',
    aim: ours.dialect === 'sqlite' ? 1.3 : 0.6,
    operations: 20,
    raw: (index) => raw.createIncident(incident(index)),
    ours: (index) => ours.incidents.create(incident(index)),
    async verify() {
      const [mine, theirs] = [await ours.incidents.create(incident(0)), await raw.createIncident(incident(0))];
      await sameChange(ours, mine, theirs);
    },
  };
}

function transition({ ours, raw }: Setting): Workload {
  const ids: { raw: string[]; ours: string[] } = { raw: [], ours: [] };
  const [ourId, rawId] = [cycle(ids.ours), cycle(ids.raw)];
  const move = (index: number) => (Math.floor(index / MOVED) % 2 ? BACK : THERE);
  return {
    name: 'transition + audit',
    aim: ours.dialect === 'sqlite' ? 1.3 : 0.6,
    operations: 20,
    raw: (index) => raw.transition(rawId(index), move(index)),
    ours: (index) => ours.incidents.transition(ourId(index), move(index)),
    async verify() {
      const incidents = Array.from({ length: MOVED }, (_, i) => newIncident(i));
      ids.ours.push(...(await ours.incidents.createMany(incidents)));
      ids.raw.push(...(await ours.incidents.createMany(incidents)));
      for (const there of [THERE, BACK])
        await sameChange(ours, await ours.incidents.transition(ourId(0), there), await raw.transition(rawId(0), there));
    },
  };
}

/** Both incidents and their trails are stored as they were answered, and equal but for ids and times. */
async function sameChange(store: Setting['ours'], ours: Incident, raw: Incident): Promise<void> {
  for (const one of [ours, raw]) assert.deepEqual(await store.incidents.get(one.id), one);
  assert.deepEqual(lasting(ours), lasting(raw));
  const [ourTrail, rawTrail] = [await trailOf(store, ours.id), await trailOf(store, raw.id)];
  assert.ok(ourTrail.length > 0);
  assert.deepEqual(ourTrail, rawTrail);
}

async function trailOf(store: Setting['ours'], incidentId: string) {
  return (await store.auditLogs.list({ incidentId })).items.map(lasting);
}

/** What does not differ from one time to the next. */
function lasting(row: Incident | AuditLog): object {
  const differs = new Set(['id', 'incidentId', 'createdAt', 'updatedAt']);
  return Object.fromEntries(Object.entries(row).filter(([key]) => !differs.has(key)));
}
