import { pastIncident } from '../alerts.ts';
import type { NewIncident } from '../library.ts';
import type { Subject } from '../subject.ts';

/** One in 5,000 incidents has it. */
export const RARE_TAG = 'crown-jewels';

const CHUNK = 50_000;

/** Every incident has five audit rows and two actions; for a tenth of them approval was asked. */
export async function grow(subject: Subject, from: number, to: number): Promise<void> {
  for (let start = from; start < to; start += CHUNK)
    await subject.ours.incidents.createMany(incidents(start, Math.min(start + CHUNK, to)));
  await addTheRest(subject);
}

function* incidents(from: number, to: number): Generator<NewIncident> {
  for (let i = from; i < to; i++)
    yield {
      ...pastIncident(i),
      ...(i % 50 ? {} : { ticketId: `JIRA-${i}` }),
      ...(i % 5000 ? {} : { tags: [RARE_TAG] }),
    };
}

/**
 * Written by SQL from the incidents that have none yet: their ids are the incident's with another last digit, so that they are
 * in the order of time, as UUIDv7s are.
 */
async function addTheRest({ ours, sql }: Subject): Promise<void> {
  const sqlite = ours.dialect === 'sqlite';
  const id = (n: number) => (sqlite ? `substr(i.id, 1, 35) || '${n}'` : `(substr(i.id::text, 1, 35) || '${n}')::uuid`);
  const json = (text: string) => (sqlite ? `'${text}'` : `'${text}'::jsonb`);
  const status = (text: string) => (sqlite ? `'${text}'` : `'${text}'::approval_status`);
  const fresh = 'not exists (select 1 from actions a where a.incident_id = i.id)';
  const digit = sqlite
    ? `instr('0123456789abcdef', substr(i.id, 34, 1))`
    : `position(substr(i.id::text, 34, 1) in '0123456789abcdef')`;
  // a tenth of them, by two digits at random
  const tenth = `(${digit} in (1, 2) and ${digit.replaceAll('34', '33')} <= 13)`;
  for (let n = 1; n <= 4; n++)
    await sql(
      `insert into audit_logs (id, incident_id, action, actor, details, created_at)
       select ${id(n)}, i.id, 'comment_added', 'analyst-${n}', ${json(`{"comment":"looked at it","n":${n}}`)}, i.created_at from incidents i where ${fresh}`,
    );
  await sql(
    `insert into actions (id, incident_id, action_type, target, parameters, reason, priority, approval_status, created_at)
     select ${id(5)}, i.id, 'isolate_host', ${json('{"host":{"hostname":"ws-7"}}')}, ${json('{}')}, 'beaconing', 10 + ${digit}, case when ${tenth} then ${status('pending')} else ${status('executed')} end, i.created_at from incidents i where ${fresh}`,
  );
  await sql(
    `insert into actions (id, incident_id, action_type, target, parameters, reason, priority, approval_status, created_at)
     select ${id(7)}, i.id, 'block_ip', ${json('{"ip_address":"192.0.2.7"}')}, ${json('{}')}, 'beaconing', 50, case when ${digit} = 9 then ${status('approved')} else ${status('executed')} end, i.created_at from incidents i
     where not exists (select 1 from actions a where a.id = ${id(7)})`,
  );
  await sql(
    `insert into approvals (id, action_id, incident_id, approval_level, status, requested_by, requested_at, expires_at)
     select ${id(6)}, ${id(5)}, i.id, 'senior', ${sqlite ? `'pending'` : `'pending'::approval_workflow_status`}, 'triage-agent', i.created_at, ${sqlite ? `strftime('%Y-%m-%dT%H:%M:%fZ', i.created_at, '+1 day')` : `i.created_at + interval '1 day'`} from incidents i
     where ${tenth} and not exists (select 1 from approvals p where p.id = ${id(6)})`,
  );
}
