import { expect, it } from 'vitest';
import {
  INCIDENT_STATUSES,
  type Incident,
  type IncidentFilter,
  type NewIncident,
  type Page,
  SEVERITIES,
  ValidationError,
} from '../../src/index.ts';
import { MAX_LIMIT } from '../../src/repositories/page.ts';
import { contract } from '../support/contract.ts';
import { newAction, newIncident } from '../support/fixtures.ts';

contract('filters of incidents', (subject) => {
  const old = new Date('2020-01-01T00:00:00.000Z');
  const rows: readonly [filter: IncidentFilter, matching: Partial<NewIncident>, other: Partial<NewIncident>][] = [
    [{ status: 'escalated' }, { status: 'escalated' }, { status: 'new' }],
    [{ status: ['closed', 'resolved'] }, { status: 'closed' }, { status: 'escalated' }],
    [{ severity: 'info' }, { severity: 'info' }, { severity: 'low' }],
    [{ severity: ['low', 'info'] }, { severity: 'low' }, { severity: 'critical' }],
    [{ since: new Date('2020-06-01') }, {}, { createdAt: old }],
    [{ until: new Date('2020-06-01') }, { createdAt: old }, {}],
    [{ until: new Date(old.getTime() + 1) }, { createdAt: old }, { createdAt: new Date(old.getTime() + 1) }],
    [{ since: old }, { createdAt: old }, { createdAt: new Date(old.getTime() - 1) }],
    [{ updatedSince: new Date('2020-06-01') }, {}, { createdAt: old }],
    [{ tag: 'phishing' }, { tags: ['x', 'phishing'] }, { tags: ['phish'] }],
    [{ tag: ['a', 'b'] }, { tags: ['b'] }, { tags: ['c'] }],
    [{ tag: '"; drop' }, { tags: ['"; drop'] }, { tags: ['drop'] }],
    [{ tag: '\ue0f0' }, { tags: ['\ue0f0'] }, { tags: ['\ue0f1'] }],
    [{ allTags: ['a', 'b'] }, { tags: ['b', 'c', 'a'] }, { tags: ['a', 'c'] }],
    [{ ticketId: 'T-1' }, { ticketId: 'T-1' }, { ticketId: 'T-10' }],
    [{ hasTicket: true }, { ticketId: 'T' }, {}],
    [{ hasTicket: false }, {}, { ticketId: 'T' }],
    [
      { search: 'EviL.example' },
      { alertData: { url: 'http://evil.example/x' } },
      { alertData: { url: 'http://evil-example/x' } },
    ],
    [{ search: 'jira-42' }, { ticketId: 'JIRA-42' }, { ticketId: 'JIRA-43' }],
    [{ search: 'lateral' }, { tags: ['Lateral movement'] }, { tags: ['collateral'.slice(0, 3)] }],
    [{ search: '100%' }, { alertData: { use: '100% CPU' } }, { alertData: { use: '1000 CPU' } }],
    [{ search: 'a_b' }, { alertData: { f: 'a_b.exe' } }, { alertData: { f: 'axb.exe' } }],
    [{ search: 'C:\\Users\\_x' }, { alertData: { f: 'c:\\users\\_x\\y' } }, { alertData: { f: 'c:\\users\\zx' } }],
    [{ search: 'say "hi"' }, { alertData: { f: 'Say "Hi"' } }, { alertData: { f: 'say hi' } }],
    // the rule: the case of ASCII letters is folded, that of others is not
    [{ search: 'Ärger' }, { alertData: { f: 'ÄRGER' } }, { alertData: { f: 'ärger' } }],
    [{ search: '\ue0f0x' }, { alertData: { f: '\ue0f0x' } }, { alertData: { f: '\ue0f1x' } }],
  ];

  it.each(rows.map((row) => [JSON.stringify(row[0]), ...row] as const))(
    '%s finds what fits and passes over what does not',
    async (_, filter, matching, other) => {
      // R-L1, R-L2
      const { store } = subject();
      const scope = `scope ${crypto.randomUUID()}`;
      const make = (overrides: Partial<NewIncident>) =>
        store.incidents.create(newIncident({ ...overrides, tags: [...(overrides.tags ?? []), scope] }));
      const fits = await make(matching);
      await make(other);
      const scoped = { ...filter, allTags: [...(filter.allTags ?? []), scope] };
      expect((await store.incidents.list(scoped)).items.map(({ id }) => id)).toEqual([fits.id]);
      expect(await store.incidents.count(scoped)).toBe(1);
      expect((await store.incidents.stats(scoped)).total).toBe(1);
      expect((await store.incidents.listPage(scoped, { page: 1 })).total).toBe(1);
    },
  );

  it('match nothing when a list of wanted values is empty', async () => {
    const { store } = subject();
    await store.incidents.create(newIncident());
    expect(await store.incidents.count({ status: [] })).toBe(0);
    expect(await store.incidents.count({ tag: [] })).toBe(0);
    expect(await store.incidents.count({ allTags: [] })).toBe(await store.incidents.count());
  });

  it.each([{ serverity: 'high' }, { status: 'open' }, { since: '2020-01-01' }, { search: '' }, { hasTicket: 'yes' }])(
    'refuse what they do not know: %j',
    async (filter) => {
      const { store } = subject();
      await expect(store.incidents.list(filter as IncidentFilter)).rejects.toThrow(ValidationError);
      await expect(store.incidents.count(filter as IncidentFilter)).rejects.toThrow(ValidationError);
    },
  );

  it('by status and severity answer the same rows in the same order as a look at every row, page by page', async () => {
    // R-L1, R-L3
    const { backend } = subject();
    const own = await backend.create();
    const store = await own.open();
    const pick = <T>(from: readonly T[], i: number) => from[i % from.length] as T;
    const at = (i: number) => new Date(1_700_000_000_000 + Math.floor(i / 4) * 1000); // four at a time
    await store.incidents.createMany(
      Array.from({ length: 300 }, (_, i) =>
        newIncident({
          status: pick(['new', 'closed', 'closed', 'resolved', 'escalated', 'closed', 'new'] as const, i * 5),
          severity: pick(SEVERITIES, i * 7),
          tags: i % 3 ? ['x'] : [],
          createdAt: at(i),
        }),
      ),
    );
    const all: Incident[] = [];
    for await (const row of store.incidents.stream({}, { sort: 'oldest' })) all.push(row);
    const filters: IncidentFilter[] = [
      { status: 'new' },
      { status: ['new', 'new', 'escalated'] },
      { status: [], severity: 'high' },
      { severity: ['low', 'critical'] },
      { status: ['closed', 'resolved'], severity: ['high', 'info'], since: at(40), until: at(250) },
      { status: 'executing' },
      { status: [...INCIDENT_STATUSES], severity: [...SEVERITIES] },
      { status: ['new', 'closed'], tag: 'x', hasTicket: false },
      { severity: [...SEVERITIES], tag: ['x', ...Array.from({ length: 499 }, (_, i) => `none-${i}`)] },
    ];
    const has = (wanted: string | readonly string[] | undefined, value: string) =>
      wanted === undefined || wanted === value || (Array.isArray(wanted) && wanted.includes(value));
    for (const filter of filters) {
      const { status, severity, since, until, tag } = filter;
      const fitting = all.filter(
        (row) =>
          has(status, row.status) &&
          has(severity, row.severity) &&
          (!since || row.createdAt >= since) &&
          (!until || row.createdAt < until) &&
          (!tag || row.tags.includes('x')),
      );
      expect(await store.incidents.count(filter)).toBe(fitting.length);
      for (const sort of ['oldest', 'newest'] as const) {
        const seen: string[] = [];
        let after: string | null = null;
        do {
          const page: Page<{ id: string }> = await store.incidents.summary.list(filter, { sort, limit: 7, after });
          seen.push(...page.items.map(({ id }) => id));
          after = page.next;
        } while (after);
        const wanted = fitting.map(({ id }) => id);
        expect(seen).toEqual(sort === 'oldest' ? wanted : wanted.reverse());
      }
    }
    await own.drop();
  });
});

contract('lists', (subject) => {
  it.each([
    [0, 1],
    [-1, 1],
    [Number.NaN, 50],
    [1e9, MAX_LIMIT],
    [Number.POSITIVE_INFINITY, MAX_LIMIT],
    [2.9, 2],
  ])('clamp a limit of %d to %d rows', async (limit, rows) => {
    // R-L3
    const { store } = subject();
    const missing = 210 - (await store.incidents.count());
    if (missing > 0) await store.incidents.createMany(Array.from({ length: missing }, () => newIncident()));
    expect((await store.incidents.list({}, { limit })).items).toHaveLength(rows);
    const page = await store.incidents.listPage({}, { page: 1, perPage: limit });
    expect([page.items.length, page.perPage]).toEqual([rows, rows]);
    expect((await store.incidents.listPage({}, { page: limit, perPage: 1 })).page).toBeGreaterThanOrEqual(1);
  });

  it('refuse a limit that is no number, an unknown option, and a foreign cursor', async () => {
    const { store } = subject();
    for (const options of [{ limit: '5' }, { offset: 1 }, { sort: 'random' }, { after: 'x' }, { after: 'WyJhIl0' }])
      await expect(store.incidents.list({}, options as never)).rejects.toThrow(ValidationError);
    await store.incidents.createMany([newIncident(), newIncident()]);
    const { next } = await store.incidents.list({}, { limit: 1, sort: 'oldest' });
    await expect(store.incidents.list({}, { after: next, sort: 'newest' })).rejects.toThrow('another sort order');
  });

  it.each(['newest', 'oldest', 'recently_updated', 'least_recently_updated'] as const)(
    'page by cursor through 1,000 equal timestamps, %s first, each row once',
    async (sort) => {
      // R-C8, R-L3
      const { store } = subject();
      const scope = `page ${sort}`;
      const createdAt = new Date('2024-05-05T05:05:05.555Z');
      const ids = await store.incidents.createMany(
        Array.from({ length: 1000 }, () => newIncident({ createdAt, tags: [scope] })),
      );
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const page = await store.incidents.list({ tag: scope }, { sort, limit: 77, after });
        seen.push(...page.items.map(({ id }) => id));
        after = page.next;
      } while (after);
      const ascending = ids.slice().sort();
      expect(seen).toEqual(sort === 'newest' || sort === 'recently_updated' ? ascending.reverse() : ascending);
    },
  );

  it('stay exact by cursor while rows come in', async () => {
    const { store } = subject();
    const scope = 'moving';
    await store.incidents.createMany(Array.from({ length: 10 }, () => newIncident({ tags: [scope] })));
    const first = await store.incidents.list({ tag: scope }, { limit: 5 });
    await store.incidents.createMany(Array.from({ length: 5 }, () => newIncident({ tags: [scope] })));
    const second = await store.incidents.list({ tag: scope }, { limit: 5, after: first.next });
    expect(new Set([...first.items, ...second.items].map(({ id }) => id)).size).toBe(10);
    expect(second.next).toBeNull();
  });

  it('page by number, with totals', async () => {
    const { store } = subject();
    const scope = 'numbered';
    await store.incidents.createMany(Array.from({ length: 7 }, () => newIncident({ tags: [scope] })));
    const pages = await Promise.all(
      [1, 2, 3, 4].map((page) => store.incidents.listPage({ tag: scope }, { page, perPage: 3 })),
    );
    expect(pages.map(({ items }) => items.length)).toEqual([3, 3, 1, 0]);
    expect(pages[0]).toMatchObject({ page: 1, perPage: 3, total: 7, pages: 3 });
    expect((await store.incidents.listPage({ tag: 'nobody' }, { page: 1 })).pages).toBe(1);
  });

  it('stream every row once, and stop when the reader does', async () => {
    const { store } = subject();
    const scope = 'streamed';
    const ids = await store.incidents.createMany(Array.from({ length: 25 }, () => newIncident({ tags: [scope] })));
    const seen: string[] = [];
    for await (const { id } of store.incidents.stream({ tag: scope }, { sort: 'oldest', batchSize: 4 })) seen.push(id);
    expect(seen).toEqual(ids);
    for await (const { id } of store.incidents.stream({ tag: scope })) {
      expect(id).toBe(ids.at(-1));
      break;
    }
  });

  it('filter the other tables too', async () => {
    // R-L1
    const { store } = subject();
    const [a, b] = [await store.incidents.create(newIncident()), await store.as('zoe').incidents.create(newIncident())];
    const isolate = await store.actions.propose(newAction(a.id));
    const block = await store
      .as('zoe')
      .actions.propose(newAction(a.id, { actionType: 'block_ip', target: { ip_address: '192.0.2.1' } }));
    await store.actions.deny(block.id);
    const ids = async (list: Promise<{ items: readonly { id: string }[] }>) => (await list).items.map(({ id }) => id);
    expect(await ids(store.actions.list({ incidentId: a.id, type: 'isolate_host' }))).toEqual([isolate.id]);
    expect(await ids(store.actions.list({ incidentId: a.id, status: ['denied'] }))).toEqual([block.id]);
    expect(await ids(store.actions.list({ incidentId: b.id }))).toEqual([]);
    expect(await ids(store.actions.list({ incidentId: a.id, since: new Date(Date.now() + 60_000) }))).toEqual([]);
    expect(await store.actions.count({ incidentId: a.id, until: new Date(Date.now() + 60_000) })).toBe(2);

    const expiresAt = new Date(Date.now() + 60_000);
    const senior = await store.approvals.request({ actionId: isolate.id, approvalLevel: 'senior', expiresAt });
    const manager = await store.approvals.request({ actionId: isolate.id, approvalLevel: 'manager' });
    expect(await ids(store.approvals.list({ actionId: isolate.id }))).toEqual([senior.id, manager.id]);
    expect(await ids(store.approvals.list({ incidentId: a.id, level: 'senior', status: 'pending' }))).toEqual([
      senior.id,
    ]);
    expect(await ids(store.approvals.list({ incidentId: a.id, level: ['manager'] }))).toEqual([manager.id]);
    expect(await ids(store.approvals.list({ incidentId: a.id, status: ['approved'] }))).toEqual([]);
    expect(
      await ids(store.approvals.list({ incidentId: a.id, expiresBefore: new Date(Date.now() + 120_000) })),
    ).toEqual([senior.id]);

    expect(await store.auditLogs.count({ incidentId: b.id })).toBe(1);
    expect(await store.auditLogs.count({ incidentId: a.id, actor: 'zoe' })).toBe(1);
    expect(await store.auditLogs.count({ incidentId: a.id, actor: ['zoe', 'system'], action: 'action_proposed' })).toBe(
      2,
    );
    expect(await store.auditLogs.count({ incidentId: a.id, action: ['incident_created', 'action_denied'] })).toBe(2);
    expect(await store.auditLogs.count({ incidentId: a.id, since: new Date(Date.now() + 60_000) })).toBe(0);
    expect(await store.auditLogs.count({ incidentId: a.id, until: new Date(0) })).toBe(0);
  });

  it('count by status and severity in one statement', async () => {
    const { store } = subject();
    const tag = 'counted';
    await store.incidents.createMany([
      newIncident({ tags: [tag], severity: 'low' }),
      newIncident({ tags: [tag], severity: 'low', status: 'closed' }),
      newIncident({ tags: [tag], severity: 'info', status: 'closed' }),
    ]);
    const stats = await store.incidents.stats({ tag });
    expect(stats.total).toBe(3); // R-C11: numbers on both
    expect(stats.byStatus).toMatchObject({ new: 1, closed: 2, resolved: 0 });
    expect(stats.bySeverity).toEqual({ info: 1, low: 2, medium: 0, high: 0, critical: 0 });
  });
});
