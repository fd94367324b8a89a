import type { Subject } from '../subject.ts';
import { RARE_TAG } from './world.ts';

/** What a person waits for. */
export interface Interaction {
  readonly name: string;
  readonly times: number;
  readonly run: (index: number) => Promise<unknown>;
}

const PAGE = 50;
/** Nearly half of all; `executing` is the one that none has. */
const OPEN = ['new', 'enriching', 'analyzing', 'pending_review', 'pending_approval', 'executing', 'escalated'] as const;

export async function interactions(
  { ours, sql }: Subject,
  rows: number,
  searchable: boolean,
): Promise<readonly Interaction[]> {
  const { items } = await ours.incidents.list({}, { limit: 200 });
  const ids = items.map(({ id }) => id);
  const [tag = ''] = items.flatMap(({ tags }) => tags);
  const deep = Math.min(2000, Math.floor(rows / PAGE) - 2) * PAGE;
  const [row] = await sql(
    `select id, ${ours.dialect === 'sqlite' ? 'created_at' : 'created_at::text'} as at from incidents order by created_at desc, id desc limit 1 offset ${deep}`,
  );
  const after = Buffer.from(JSON.stringify(['newest', String(row?.at), row?.id])).toString('base64url');
  const text = JSON.stringify(items[7]?.alertData).match(/\d+\.\d+\.\d+\.\d+/)?.[0] ?? '10.0.0.1';
  const one = (index: number) => ids[index % ids.length] as string;
  const list: Interaction[] = [
    {
      name: 'newest 50 by status and severity, summary',
      times: 50,
      run: () => ours.incidents.summary.list({ status: ['new', 'enriching'], severity: ['high', 'critical'] }),
    },
    {
      name: 'newest 50 by status and severity, whole',
      times: 50,
      run: () => ours.incidents.list({ status: ['new', 'enriching'], severity: ['high', 'critical'] }),
    },
    {
      name: 'newest 50 that are open, summary',
      times: 50,
      run: () => ours.incidents.summary.list({ status: OPEN }),
    },
    {
      name: 'newest 50 of a status that none has',
      times: 50,
      run: () => ours.incidents.summary.list({ status: 'executing' }),
    },
    { name: 'newest 50 with a tag', times: 30, run: () => ours.incidents.summary.list({ tag }) },
    { name: 'by ticket', times: 50, run: (i) => ours.incidents.summary.list({ ticketId: `JIRA-${(i * 50) % rows}` }) },
    { name: 'page 2,000 by cursor', times: 50, run: () => ours.incidents.summary.list({}, { after }) },
    {
      name: 'an incident with its trail',
      times: 50,
      run: (i) => Promise.all([ours.incidents.get(one(i)), ours.auditLogs.list({ incidentId: one(i) })]),
    },
    {
      name: 'pending approvals that expire soon',
      times: 30,
      run: () => ours.approvals.list({ status: 'pending', expiresBefore: new Date() }),
    },
    { name: 'ready actions', times: 30, run: () => ours.actions.listReady({ limit: PAGE }) },
    { name: 'counts by status and severity', times: 5, run: () => ours.incidents.stats() },
    { name: 'about how many audit rows', times: 5, run: () => ours.auditLogs.count({}, { estimate: true }) },
  ];
  if (searchable)
    list.push(
      {
        name: 'newest 50 with a rare tag, with the index',
        times: 30,
        run: () => ours.incidents.summary.list({ tag: RARE_TAG }),
      },
      {
        name: 'search for an IP address, with the index',
        times: 10,
        run: () => ours.incidents.summary.list({ search: text }),
      },
    );
  return list;
}
