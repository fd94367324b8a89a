import assert from 'node:assert/strict';
import type { Workload } from '../measure.ts';
import { cycle, type Setting } from './setting.ts';

export function pointReadWorkloads({ ours, raw, ids }: Setting): readonly Workload[] {
  const id = cycle(ids);
  return [
    {
      name: 'point read',
      aim: ours.dialect === 'sqlite' ? 1.3 : 1.1,
      operations: 100,
      raw: (index) => raw.getIncident(id(index)),
      ours: (index) => ours.incidents.get(id(index)),
      async verify() {
        for (const one of ids) assert.deepEqual(await ours.incidents.get(one), await raw.getIncident(one));
      },
    },
  ];
}
