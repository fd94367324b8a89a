/** What dashboards ask for, at 100,000 incidents: every interactive query uses an index, and none reads or sorts the table. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NewIncident } from '../src/index.ts';
import type { Store } from '../src/store.ts';
import { SHARED_BACKENDS, type TestDatabase } from './support/databases.ts';

const ROWS = 100_000;
const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'] as const;
const STATUSES = ['new', 'enriching', 'resolved', 'closed', 'closed', 'closed', 'closed', 'resolved'] as const;

function* incidents(): Generator<NewIncident> {
  for (let i = 0; i < ROWS; i++)
    yield {
      source: { siem: 'splunk' },
      severity: SEVERITIES[(i * 7) % 5] ?? 'low',
      status: STATUSES[(i * 11) % 8] ?? 'new',
      alertData: { n: i },
      tags: [`tag-${i % 500}`],
      ...(i % 40 ? {} : { ticketId: `T-${i}` }),
      createdAt: new Date(1_700_000_000_000 + i * 1000),
    };
}

interface Query {
  readonly sql: string;
  readonly params: readonly unknown[];
  readonly reads: boolean;
}
interface Exec {
  exec(query: Query): Promise<{ readonly rows: readonly (readonly unknown[])[] }>;
}

describe.each(SHARED_BACKENDS)('at $name’s 100,000 incidents', ({ create, dialect }) => {
  let database: TestDatabase;
  let store: Store;
  let driver: Exec;
  let ids: readonly string[];

  beforeAll(async () => {
    database = await create();
    store = await database.open();
    ids = await store.incidents.createMany(incidents());
    // an action for each, nearly all executed; approvals of those that are pending; the rest decided
    const sqlite = dialect === 'sqlite';
    const number = sqlite ? `json_extract(alert_data, '$.n')` : `(alert_data ->> 'n')::int`;
    const as = (type: string) => (sqlite ? '' : `::${type}`);
    const status = `case when ${number} % 100 = 0 then 'pending'${as('approval_status')} when ${number} % 200 = 1 then 'approved'${as('approval_status')} else 'executed'${as('approval_status')} end`;
    await database.raw(
      `insert into actions (id, incident_id, action_type, target, parameters, reason, priority, approval_status, created_at)
       select id, id, 'block_ip', '"none"'${as('jsonb')}, '{}'${as('jsonb')}, 'r', 1 + ${number} % 100, ${status}, created_at from incidents`,
    );
    await database.raw(
      `insert into approvals (id, action_id, incident_id, approval_level, status, requested_by, requested_at, expires_at)
       select id, id, incident_id, case when priority % 2 = 0 then 'senior' else 'manager' end, case when approval_status = 'pending'${as('approval_status')} then 'pending'${as('approval_workflow_status')} else 'approved'${as('approval_workflow_status')} end, 'x', created_at, created_at from actions`,
    );
    const cut = sqlite ? 'substr(id, 29, 8)' : 'right(id::text, 8)';
    await database.raw(
      `insert into users (id, email, username, password_hash, role, enabled, created_at, updated_at)
       select id, 'user' || ${number} || '@example.com', 'user' || ${number}, '-', 'viewer', ${sqlite ? 1 : true}, created_at, created_at from incidents`,
    );
    await database.raw(
      `insert into api_keys (id, user_id, name, key_hash, key_prefix, scopes, created_at)
       select id, id, 'k', id, ${cut}, '[]'${as('jsonb')}, created_at from incidents`,
    );
    await database.raw(
      `insert into sessions (id, data, expiry_date) select id${as('text')}, ${sqlite ? "x'00'" : "'\\x00'::bytea"}, 4000000000 + ${number} from incidents`,
    );
    // PostgreSQL does so by itself in time; SQLite does not, and must not need it
    if (dialect === 'postgres') await database.raw('vacuum analyze');
    driver = Reflect.get(store, 'cx').driver as Exec;
  }, 300_000);
  afterAll(() => database?.drop());

  /** The plan of the last query that some work makes, as one text. */
  async function planOf(work: () => Promise<unknown>): Promise<string> {
    const { exec } = driver;
    let last: Query | undefined;
    driver.exec = (query) => {
      last = query;
      return exec(query);
    };
    try {
      await work();
    } finally {
      driver.exec = exec;
    }
    const explain = dialect === 'sqlite' ? 'explain query plan' : 'explain';
    const { sql, params } = last as Query;
    const { rows } = await exec({ sql: `${explain} ${sql}`, params, reads: true });
    return rows.map((row) => String(row.at(-1))).join('\n');
  }

  const interactive: readonly [
    name: string,
    work: () => Promise<unknown>,
    index: Record<'sqlite' | 'postgres', RegExp>,
  ][] = [
    [
      'the newest 50 by status and severity',
      () => store.incidents.summary.list({ status: ['new', 'enriching'], severity: ['high', 'critical'] }),
      { sqlite: /incidents_triage_idx|incidents_created_at_idx/, postgres: /incidents_triage_idx/ },
    ],
    [
      'the newest 50 by one status',
      () => store.incidents.list({ status: 'new' }),
      { sqlite: /COVERING INDEX incidents_triage_idx \(status=\? AND severity=\?\)/, postgres: /incidents_triage_idx/ },
    ],
    [
      'the newest 50 that are open, of a month',
      () => store.incidents.list({ status: ['new', 'enriching', 'escalated'], since: new Date(1_700_050_000_000) }),
      {
        sqlite: /COVERING INDEX incidents_triage_idx \(status=\? AND severity=\? AND created_at>\?/,
        postgres: /incidents_triage_idx/,
      },
    ],
    [
      'the oldest 50 by a severity',
      () => store.incidents.list({ severity: 'critical' }, { sort: 'oldest' }),
      { sqlite: /COVERING INDEX incidents_triage_idx \(status=\? AND severity=\?\)/, postgres: /incidents_triage_idx/ },
    ],
    [
      'a status that none has',
      () => store.incidents.list({ status: 'pending_review' }),
      { sqlite: /COVERING INDEX incidents_triage_idx/, postgres: /incidents_triage_idx/ },
    ],
    [
      'the newest 50 actions of a status',
      () => store.actions.list({ status: ['executed', 'failed'] }, { sort: 'newest' }),
      { sqlite: /COVERING INDEX actions_approval_status_idx/, postgres: /actions_(approval_status|created_at)_idx/ },
    ],
    [
      'the newest 50',
      () => store.incidents.list(),
      { sqlite: /incidents_created_at_idx/, postgres: /incidents_\w+_idx/ },
    ],
    [
      'a deep page by cursor',
      async () => {
        const row = await store.incidents.get(ids[500] as string);
        const at =
          dialect === 'sqlite'
            ? row.createdAt.toISOString()
            : row.createdAt.toISOString().replace('T', ' ').replace('Z', '+00');
        const after = Buffer.from(JSON.stringify(['newest', at, row.id])).toString('base64url');
        return store.incidents.summary.list({}, { after });
      },
      { sqlite: /SEARCH incidents USING INDEX incidents_created_at_idx/, postgres: /Index Cond/ },
    ],
    [
      'the last updated',
      () => store.incidents.list({}, { sort: 'recently_updated' }),
      { sqlite: /incidents_updated_at_idx/, postgres: /incidents_updated_at_idx/ },
    ],
    [
      'a ticket',
      () => store.incidents.list({ ticketId: 'T-400' }),
      { sqlite: /incidents_ticket_id_idx/, postgres: /incidents_ticket_id_idx/ },
    ],
    // without the search index SQLite has none of tags: it walks the newest until it has a page
    [
      'a tag',
      () => store.incidents.list({ tag: 'tag-7' }),
      {
        sqlite: /incidents_created_at_idx/,
        postgres: /incidents_tags_idx|incidents_created_at_idx|incidents_triage_idx/,
      },
    ],
    [
      'an incident',
      () => store.incidents.get(ids[5] as string),
      { sqlite: /autoindex_incidents/, postgres: /incidents_pkey/ },
    ],
    [
      'its trail',
      () => store.auditLogs.list({ incidentId: ids[5] as string }),
      { sqlite: /audit_logs_incident_id_idx/, postgres: /audit_logs_incident_id_idx/ },
    ],
    [
      'the pending approvals of a level',
      () => store.approvals.list({ status: 'pending', level: 'senior' }),
      { sqlite: /approvals_pending_idx/, postgres: /approvals_pending_idx/ },
    ],
    [
      'the pending approvals that expire soon',
      () => store.approvals.list({ status: 'pending', expiresBefore: new Date() }),
      { sqlite: /approvals_status_idx/, postgres: /approvals_status_idx|approvals_expires_at_idx/ },
    ],
    [
      'the ready actions',
      () => store.actions.listReady(),
      {
        sqlite: /actions_ready_idx|actions_approval_status_idx/,
        postgres: /actions_ready_idx|actions_approval_status_idx/,
      },
    ],
    [
      'a login by name or address',
      () => store.users.credentials('USER77@example.com'),
      {
        sqlite: /users_email_nocase_unique \(email=\?\)[\s\S]*users_username_nocase_unique \(username=\?\)/,
        postgres: /users_email_nocase_unique[\s\S]*users_username_nocase_unique/,
      },
    ],
    [
      'a user by address',
      () => store.users.findByEmail('USER77@example.com'),
      { sqlite: /users_email_nocase_unique \(email=\?\)/, postgres: /users_email_nocase_unique/ },
    ],
    [
      'a user by name',
      () => store.users.findByUsername('USER77'),
      { sqlite: /users_username_nocase_unique \(username=\?\)/, postgres: /users_username_nocase_unique/ },
    ],
    [
      'an API key by its token',
      () => store.apiKeys.verify('tw_a_token_that_is_unknown_to_all'),
      { sqlite: /api_keys_key_prefix_idx \(key_prefix=\?\)/, postgres: /api_keys_key_prefix_idx/ },
    ],
    [
      'the API keys of a user',
      () => store.apiKeys.list({ user: ids[5] as string }),
      { sqlite: /api_keys_user_id_idx \(user_id=\?/, postgres: /api_keys_user_id_idx/ },
    ],
    [
      'a session',
      () => store.sessions.load('nothing'),
      { sqlite: /autoindex_sessions_1 \(id=\?\)/, postgres: /sessions_pkey/ },
    ],
    [
      'a session that is touched',
      () => store.sessions.touch(ids[5] as string, new Date(4_200_000_000_000)),
      { sqlite: /autoindex_sessions_1 \(id=\?\)/, postgres: /sessions_pkey/ },
    ],
    [
      'the sessions that have expired',
      () => store.sessions.deleteExpired(),
      { sqlite: /sessions_expiry_date_idx \(expiry_date</, postgres: /sessions_expiry_date_idx/ },
    ],
    [
      'the actions of an incident',
      () => store.actions.list({ incidentId: ids[5] as string }),
      { sqlite: /actions_incident_id_idx/, postgres: /actions_incident_id_idx/ },
    ],
  ];

  it.each(interactive)('%s uses an index', async (_, work, index) => {
    const plan = await planOf(work);
    expect(plan).toMatch(index[dialect]);
    expect(plan).not.toMatch(/\bSCAN (?!parts?\d*$)\w+$|Seq Scan/m); // without an index; a part is a part of a list
  });

  it('tags use an index of their own, and none of the table’s where they are rare, with the search index', async () => {
    await store.searchIndex.enable({ batchSize: 5000 });
    const tags = { sqlite: /SEARCH t USING PRIMARY KEY \(tag=\?\)/, postgres: /incidents_tags_idx/ }[dialect];
    // PostgreSQL may find a page of the one sooner along the newest
    for (const tag of dialect === 'sqlite' ? ['tag-7', 'nobody has it'] : ['nobody has it']) {
      const plan = await planOf(() => store.incidents.list({ tag }));
      expect(plan).toMatch(tags);
      expect(plan).not.toMatch(/\bSCAN (?!json_each)|Seq Scan/);
    }
    const counted = await planOf(() => store.incidents.count({ tag: ['tag-7', 'tag-9'], severity: 'low' }));
    expect(counted).toMatch(dialect === 'sqlite' ? /incidents_search_tags USING PRIMARY KEY \(tag=\?\)/ : tags);
  });
});
