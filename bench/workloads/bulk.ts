import assert from 'node:assert/strict';
import { newIncident } from '../alerts.ts';
import type { Workload } from '../measure.ts';
import type { Setting } from './setting.ts';

const ROWS = 10_000;

export function bulkWorkloads({ ours, raw }: Setting): readonly Workload[] {
  const incidents = Array.from({ length: ROWS }, (_, i) => newIncident(i));
  return [
    {
      name: 'bulk 10,000',
      aim: 1.3,
      operations: 1,
      maxRounds: 7,
      raw: () => raw.createIncidents(incidents),
      ours: () => ours.incidents.createMany(incidents),
      async verify() {
        const few = incidents.slice(0, 3);
        const [ourIds, rawIds] = [await ours.incidents.createMany(few), await raw.createIncidents(few)];
        assert.deepEqual(await stored(ours, ourIds), await stored(ours, rawIds));
      },
    },
  ];
}

/** Incidents with their trails, without what differs from one time to the next. */
const stored = (store: Setting['ours'], ids: readonly string[]) =>
  Promise.all(
    ids.map(async (id) => {
      const { items: trail } = await store.auditLogs.list({ incidentId: id });
      return {
        incident: { ...(await store.incidents.get(id)), id: null, createdAt: null, updatedAt: null },
        trail: trail.map(({ action, actor, details }) => ({ action, actor, details })),
      };
    }),
  );
