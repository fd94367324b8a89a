import assert from 'node:assert/strict';
import type { Incident, IncidentFilter } from '../library.ts';
import type { Workload } from '../measure.ts';
import { PAGE_SIZE, type RawCursor, type RawPage } from '../raw-driver.ts';
import type { Setting } from './setting.ts';

const TRIAGE: IncidentFilter = { status: ['new', 'enriching'], severity: ['high', 'critical'] };
const AIM = 1.3;

export async function listWorkloads({ ours, raw, rows }: Setting): Promise<readonly Workload[]> {
  const { after, cursor } = await middle(ours, rows);
  const deep = () => ours.incidents.list({}, { limit: PAGE_SIZE, after });
  const filtered = () => ours.incidents.list(TRIAGE, { limit: PAGE_SIZE });
  return [
    {
      name: 'filtered list of 50',
      aim: AIM,
      operations: 10,
      raw: () => raw.listTriage(),
      ours: filtered,
      verify: async () => samePage(await filtered(), await raw.listTriage()),
    },
    {
      name: 'deep keyset page',
      aim: AIM,
      operations: 10,
      raw: () => raw.listAfter(cursor),
      ours: deep,
      verify: async () => samePage(await deep(), await raw.listAfter(cursor)),
    },
  ];
}

/** Where half of the rows are behind, as both sides write it: reached as a user would, page by page. */
async function middle(ours: Setting['ours'], rows: number): Promise<{ after: string; cursor: RawCursor }> {
  let page = await ours.incidents.list({}, { limit: 200 });
  for (let seen = page.items.length; seen < rows / 2 && page.next; seen += page.items.length)
    page = await ours.incidents.list({}, { limit: 200, after: page.next });
  const last = page.items.at(-1);
  if (!page.next || !last) throw new Error('--rows is too small for a page in the middle');
  return { after: page.next, cursor: last };
}

function samePage(ours: { items: readonly Incident[]; next: string | null }, raw: RawPage): void {
  assert.equal(ours.items.length, PAGE_SIZE);
  assert.deepEqual(ours.items, raw.items);
  assert.equal(ours.next === null, raw.next === null);
}
