import { expect, it } from 'vitest';
import {
  CHANNEL_TYPES,
  CONNECTOR_STATUSES,
  type ConnectorFilter,
  type NewConnector,
  type NewNotificationChannel,
  type NewPlaybook,
  type NewPolicy,
  NotFoundError,
  type NotificationChannelFilter,
  type Page,
  type PlaybookFilter,
  POLICY_ACTIONS,
  type Policy,
  type PolicyFilter,
  secret,
  TRIGGER_TYPES,
} from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';
const playbook = (overrides: Partial<NewPlaybook> = {}): NewPlaybook => ({
  name: 'Phishing',
  triggerType: 'alert_type',
  ...overrides,
});
const connector = (overrides: Partial<NewConnector> = {}): NewConnector => ({
  name: 'VirusTotal',
  connectorType: 'virus_total',
  ...overrides,
});
const policy = (overrides: Partial<NewPolicy> = {}): NewPolicy => ({
  name: 'Low risk',
  condition: 'severity == "low"',
  action: 'auto_approve',
  ...overrides,
});
const channel = (overrides: Partial<NewNotificationChannel> = {}): NewNotificationChannel => ({
  name: 'SOC',
  channelType: 'slack',
  ...overrides,
});

contract('playbooks, connectors, policies and notification channels', (subject) => {
  const kinds = {
    playbooks: { make: playbook, patch: { description: 'd', triggerCondition: 'c' }, cleared: { description: null } },
    connectors: { make: connector, patch: { connectorType: 'jira' }, cleared: {} },
    policies: { make: policy, patch: { description: 'd', approvalLevel: 'senior' }, cleared: { approvalLevel: null } },
    notificationChannels: { make: channel, patch: { channelType: 'email' }, cleared: {} },
  } as const;
  const names = Object.keys(kinds) as (keyof typeof kinds)[];

  it.each(names)('%s are created with defaults, read, changed, switched and removed', async (kind) => {
    // R-E3, R-E4
    const { store } = subject();
    const repository = store[kind] as unknown as {
      create(input: object): Promise<{ id: string; enabled: boolean; createdAt: Date; updatedAt: Date }>;
      createMany(inputs: object[]): Promise<{ id: string }[]>;
      get(id: string): Promise<object>;
      find(id: string): Promise<object | null>;
      update(id: string, patch: object, options?: object): Promise<{ updatedAt: Date }>;
      setEnabled(id: string, enabled: boolean): Promise<{ enabled: boolean; updatedAt: Date }>;
      toggle(id: string): Promise<{ enabled: boolean }>;
      delete(id: string): Promise<boolean>;
    };
    const { make, patch, cleared } = kinds[kind];
    const made = await repository.create(make());
    expect(made).toMatchObject({ ...make(), enabled: true });
    expect(made.createdAt).toEqual(made.updatedAt);
    expect(await repository.get(made.id)).toEqual(made);

    const changed = await repository.update(made.id, { ...patch, name: 'Renamed', enabled: undefined });
    expect(changed).toMatchObject({ ...patch, name: 'Renamed', enabled: true });
    expect(changed.updatedAt.getTime()).toBeGreaterThan(made.updatedAt.getTime());
    expect(await repository.update(made.id, cleared)).toMatchObject(cleared);
    await expect(repository.update(made.id, { name: 'x' }, { ifUpdatedAt: made.updatedAt })).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(repository.update(made.id, {}, { ifUpdatedAt: made.updatedAt })).rejects.toMatchObject({
      code: 'conflict',
    });
    const [one, other] = await Promise.allSettled(
      ['a', 'b'].map(async (name) => {
        const { updatedAt } = (await repository.get(made.id)) as { updatedAt: Date };
        return repository.update(made.id, { name }, { ifUpdatedAt: updatedAt });
      }),
    );
    expect([one?.status, other?.status]).toContain('fulfilled');

    expect((await repository.setEnabled(made.id, false)).enabled).toBe(false);
    await Promise.all(Array.from({ length: 21 }, () => repository.toggle(made.id)));
    expect(await repository.get(made.id)).toMatchObject({ enabled: true });

    const ids = (await repository.createMany([make(), make()])).map(({ id }) => id);
    expect(ids).toHaveLength(2);
    for (const call of [
      () => repository.update(NOBODY, { name: 'x' }),
      () => repository.update(NOBODY, {}),
      () => repository.setEnabled(NOBODY, true),
      () => repository.toggle(NOBODY),
      () => repository.get(NOBODY),
    ])
      await expect(call()).rejects.toBeInstanceOf(NotFoundError);
    expect(await repository.delete(made.id)).toBe(true);
    expect(await repository.delete(made.id)).toBe(false);
    expect(await repository.find(made.id)).toBeNull();
  });

  it.each(names)('%s refuse what is wrong before anything is written', async (kind) => {
    const { store } = subject();
    const repository = store[kind] as unknown as {
      create(input: object): Promise<object>;
      createMany(inputs: object[]): Promise<object[]>;
      update(id: string, patch: object): Promise<object>;
      count(): Promise<number>;
    };
    const { make } = kinds[kind];
    const before = await repository.count();
    const wrong = [
      { ...make(), name: '' },
      { ...make(), name: 'nul \0' },
      { ...make(), nmae: 'x' },
      { ...make(), enabled: 1 },
      { ...make(), id: 'x' },
      { ...make(), name: undefined },
    ];
    for (const input of wrong) await expect(repository.create(input)).rejects.toMatchObject({ code: 'validation' });
    // a class with getters is read as it is checked
    class Named {
      get name() {
        return 'by a getter';
      }
    }
    const { name, ...others } = make();
    expect(name).toBeTypeOf('string');
    expect(await repository.create(Object.assign(new Named(), others))).toMatchObject({ name: 'by a getter' });
    for (const none of [undefined, null, {}, 5])
      await expect(repository.createMany(none as never)).rejects.toMatchObject({ code: 'validation' });
    await expect(repository.createMany([make(), wrong[0] as object])).rejects.toMatchObject({
      issues: [expect.objectContaining({ path: '[1].name' })],
    });
    await expect(repository.update(NOBODY, { nmae: 'x' })).rejects.toMatchObject({ code: 'validation' });
    await expect(repository.update(NOBODY, { createdAt: new Date() })).rejects.toMatchObject({ code: 'validation' });
    expect(await repository.count()).toBe(before + 1);
  });

  it('findByName answers the first of that exact name', async () => {
    const { store } = subject();
    const first = await store.playbooks.create(playbook({ name: 'Twice' }));
    await store.playbooks.create(playbook({ name: 'Twice' }));
    expect((await store.playbooks.findByName('Twice'))?.id).toBe(first.id);
    expect(await store.playbooks.findByName('twice')).toBeNull();
    expect(await store.connectors.findByName('nobody')).toBeNull();
  });

  it('page by name, byte by byte, each row once', async () => {
    // R-L3, R-C8
    const { store } = subject();
    const labels = ['zeta', 'Alpha', 'alpha', 'élan', 'Zeta', '_x', 'beta', 'beta', 'beta'];
    await store.connectors.createMany(labels.map((name) => connector({ name: `sorted ${name}` })));
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const page = await store.connectors.list({ nameContains: 'sorted' }, { sort: 'name', limit: 2, after });
      seen.push(...page.items.map(({ name }) => name.slice(7)));
      after = page.next;
    } while (after);
    expect(seen).toEqual(labels.slice().sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    const bad = Buffer.from(JSON.stringify(['name', 5, NOBODY])).toString('base64url');
    await expect(store.connectors.list({}, { sort: 'name', after: bad })).rejects.toMatchObject({ code: 'validation' });
  });
});

contract('playbooks', (subject) => {
  it('keep the members of a stage that nobody knows', async () => {
    const { store } = subject();
    const stages = [
      { name: 'triage', parallel: true, steps: ['enrich', { tool: 'whois' }], own: { deep: [1, null] } },
      { on_failure: 'stop' },
      JSON.parse('{"__proto__": {"a": 1}}'),
    ];
    const { id } = await store.playbooks.create(playbook({ stages }));
    expect((await store.playbooks.get(id)).stages).toEqual(stages);
    await expect(store.playbooks.create(playbook({ stages: [{ name: 5 } as never] }))).rejects.toMatchObject({
      issues: [expect.objectContaining({ path: 'stages[0].name' })],
    });
    await expect(store.playbooks.create(playbook({ stages: [{ at: Number.NaN }] }))).rejects.toMatchObject({
      code: 'validation', // R-C4
    });
  });

  it('count every one of 200 runs at once, and call none of them an edit', async () => {
    // R-A5
    const { store } = subject();
    const { id, updatedAt } = await store.playbooks.create(playbook());
    await Promise.all(Array.from({ length: 200 }, () => store.playbooks.recordExecution(id)));
    expect(await store.playbooks.get(id)).toMatchObject({ executionCount: 200, updatedAt });
    await expect(store.playbooks.recordExecution(NOBODY)).rejects.toBeInstanceOf(NotFoundError);
  });

  it('are listed by their trigger when they are enabled', async () => {
    const { store } = subject();
    const make = (name: string, overrides: Partial<NewPlaybook>) =>
      store.playbooks.create(playbook({ name, ...overrides }));
    await make('b manual', { triggerType: 'manual' });
    await make('a manual', { triggerType: 'manual' });
    await make('off', { triggerType: 'manual', enabled: false });
    const listed = await store.playbooks.listByTrigger('manual');
    expect(listed.map(({ name }) => name)).toEqual(['a manual', 'b manual']);
    await expect(store.playbooks.listByTrigger(undefined as never)).rejects.toMatchObject({ code: 'validation' });
    await expect(store.playbooks.listByTrigger('by hand' as 'manual')).rejects.toMatchObject({ code: 'validation' });
  });

  it.each<[PlaybookFilter, Partial<NewPlaybook>, Partial<NewPlaybook>]>([
    [{ enabled: false }, { enabled: false }, { enabled: true }],
    [{ triggerType: 'source' }, { triggerType: 'source' }, { triggerType: 'severity' }],
    [{ triggerType: ['source', 'severity'] }, { triggerType: 'severity' }, { triggerType: 'manual' }],
    [{ nameContains: '100%_' }, { name: 'a 100%_ match' }, { name: 'a 100xx match' }],
    [{ nameContains: 'PHISH' }, { name: 'anti-phishing' }, { name: 'fishing' }],
  ])('%j finds what fits and passes over what does not', async (filter, matching, other) => {
    // R-L1, R-L2
    const { store } = subject();
    const scope = crypto.randomUUID();
    const before = await store.playbooks.count(filter);
    const fits = await store.playbooks.create(playbook({ name: scope, ...matching }));
    await store.playbooks.create(playbook({ name: scope, ...other }));
    expect(await store.playbooks.count(filter)).toBe(before + 1);
    const found = (await store.playbooks.list(filter, { sort: 'newest', limit: 1 })).items;
    expect(found.map(({ id }) => id)).toEqual([fits.id]);
  });

  it('round-trip every trigger type', async () => {
    // R-C5
    const { store } = subject();
    for (const triggerType of TRIGGER_TYPES)
      expect(await store.playbooks.create(playbook({ triggerType }))).toMatchObject({ triggerType });
  });
});

contract('connectors', (subject) => {
  it('are checked by the clock of the store: no time in the future is taken, and none that stands blocks the next', async () => {
    // F-I6
    const { store, backend, database } = subject();
    const { id } = await store.connectors.create(connector());
    const ahead = (ms: number) => new Date(Date.now() + ms);
    for (const at of [ahead(3_600_000), new Date('9999-12-31T23:59:59.999Z')])
      await expect(store.connectors.recordHealthCheck(id, 'connected', at)).rejects.toMatchObject({
        code: 'validation',
        issues: [{ path: 'at' }],
      });
    expect((await store.connectors.get(id)).lastHealthCheck).toBeNull();
    if (!backend.shared) return;
    await database.raw(`update connectors set last_health_check = '9999-12-31T23:59:59.999Z' where id = '${id}'`);
    const before = Date.now() - 1_000;
    const checked = await store.connectors.recordHealthCheck(id, 'error');
    expect(checked.status).toBe('error');
    expect(checked.lastHealthCheck?.getTime()).toBeGreaterThan(before);
    expect(checked.lastHealthCheck?.getTime()).toBeLessThan(Date.now() + 1_000);
    await database.raw(`update connectors set last_health_check = '9999-12-31T23:59:59.999Z' where id = '${id}'`);
    const at = ahead(-60_000);
    expect(await store.connectors.recordHealthCheck(id, 'connected', at)).toMatchObject({ lastHealthCheck: at });
  });

  it('record what was seen of them, which is no edit', async () => {
    const { store } = subject();
    const made = await store.connectors.create(connector());
    expect(made).toMatchObject({ status: 'unknown', config: {}, lastHealthCheck: null });
    const at = new Date('2026-01-02T03:04:05.678Z');
    expect(await store.connectors.recordHealthCheck(made.id, 'connected', at)).toEqual({
      ...made,
      status: 'connected',
      lastHealthCheck: at,
    });
    // one that was under way for longer comes in late
    const late = await store.connectors.recordHealthCheck(made.id, 'error', new Date(at.getTime() - 1));
    expect(late).toMatchObject({ status: 'connected', lastHealthCheck: at });
    for (const status of CONNECTOR_STATUSES)
      expect(await store.connectors.setStatus(made.id, status)).toMatchObject({ status, updatedAt: made.updatedAt });
    expect((await store.connectors.recordHealthCheck(made.id, 'connected')).lastHealthCheck?.getTime()).toBeGreaterThan(
      at.getTime(),
    );
    for (const call of [
      () => store.connectors.setStatus(NOBODY, 'error'),
      () => store.connectors.recordHealthCheck(NOBODY, 'error'),
    ])
      await expect(call()).rejects.toBeInstanceOf(NotFoundError);
    await expect(store.connectors.setStatus(made.id, 'fine' as 'error')).rejects.toMatchObject({ code: 'validation' });
    await expect(store.connectors.create(connector({ config: secret('x') as never }))).rejects.toMatchObject({
      code: 'validation',
    });
    await expect(store.connectors.update(made.id, { status: 'error' } as object)).rejects.toMatchObject({
      code: 'validation',
    });
  });

  it.each<[ConnectorFilter, Partial<NewConnector>, Partial<NewConnector>]>([
    [{ type: 'splunk' }, { connectorType: 'splunk' }, { connectorType: 'jira' }],
    [{ type: ['splunk', 'own'] }, { connectorType: 'own' }, { connectorType: 'jira' }],
    [{ status: 'error' }, { status: 'error' }, {}],
    [{ status: ['error', 'disconnected'] }, { status: 'disconnected' }, {}],
    [{ enabled: false }, { enabled: false }, {}],
    [{ nameContains: 'c:\\' }, { name: 'C:\\tools' }, { name: 'C:/tools' }],
  ])('%j finds what fits and passes over what does not', async (filter, matching, other) => {
    // R-L1
    const { store } = subject();
    const before = await store.connectors.count(filter);
    const fits = await store.connectors.create(connector(matching));
    await store.connectors.create(connector(other));
    expect(await store.connectors.count(filter)).toBe(before + 1);
    expect((await store.connectors.list(filter, { sort: 'newest', limit: 1 })).items[0]?.id).toBe(fits.id);
  });
});

contract('policies', (subject) => {
  it('are evaluated by priority, the lower first, then in the order of their creation', async () => {
    const { store } = subject();
    const at = (ms: number) => ({ now: () => new Date(1_700_000_000_000 + ms) });
    const own = await subject().backend.create();
    for (const [name, priority, ms, enabled] of [
      ['last', 10, 0, true],
      ['second', 5, 2, true],
      ['first', 5, 1, true],
      ['off', 1, 0, false],
      ['zeroth', -3, 9, true],
    ] as const) {
      const clocked = subject().backend.shared ? await own.open(at(ms)) : store;
      await clocked.policies.create(policy({ name, priority, enabled }));
    }
    const reader = subject().backend.shared ? await own.open() : store;
    const names = (await reader.policies.listEnabled()).map(({ name }) => name);
    // one store in memory has one clock: there they were created in this order
    expect(names).toEqual(
      subject().backend.shared ? ['zeroth', 'first', 'second', 'last'] : ['zeroth', 'second', 'first', 'last'],
    );
    expect((await reader.policies.list({ enabled: true })).items.map(({ name }) => name)).toEqual(names);
    await own.drop();
  });

  it('page through equal priorities and times, each row once', async () => {
    // R-L3, R-C8
    const { backend } = subject();
    const own = await backend.create();
    const store = await own.open({ now: () => new Date('2026-01-01T00:00:00.000Z') });
    const made = await store.policies.createMany(
      Array.from({ length: 50 }, (_, i) => policy({ name: `p${i}`, priority: i % 3 })),
    );
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const page = await store.policies.list({}, { limit: 7, after });
      seen.push(...page.items.map(({ id }) => id));
      after = page.next;
    } while (after);
    const order = made
      .slice()
      .sort((a, b) => a.priority - b.priority || (a.id < b.id ? -1 : 1))
      .map(({ id }) => id);
    expect(seen).toEqual(order);
    const bad = Buffer.from(JSON.stringify(['evaluation', 'x', '2026-01-01T00:00:00.000Z', NOBODY])).toString(
      'base64url',
    );
    await expect(store.policies.list({}, { after: bad })).rejects.toMatchObject({ code: 'validation' });
    await own.drop();
  });

  it.each<[PolicyFilter, Partial<NewPolicy>, Partial<NewPolicy>]>([
    [{ action: 'deny' }, { action: 'deny' }, {}],
    [{ action: ['deny', 'require_approval'] }, { action: 'require_approval', approvalLevel: 'manager' }, {}],
    [{ enabled: false }, { enabled: false }, {}],
    [{ nameContains: 'crit' }, { name: 'Critical' }, { name: 'Minor' }],
  ])('%j finds what fits and passes over what does not', async (filter, matching, other) => {
    // R-L1
    const { store } = subject();
    const before = await store.policies.count(filter);
    const fits = await store.policies.create(policy(matching));
    await store.policies.create(policy(other));
    expect(await store.policies.count(filter)).toBe(before + 1);
    expect((await store.policies.list(filter, { sort: 'newest', limit: 1 })).items[0]?.id).toBe(fits.id);
  });

  it('round-trip every action, and priorities of 32 bits only', async () => {
    // R-C5
    const { store } = subject();
    for (const action of POLICY_ACTIONS)
      expect(await store.policies.create(policy({ action }))).toMatchObject({ action });
    for (const priority of [-2_147_483_648, 2_147_483_647])
      expect(await store.policies.create(policy({ priority }))).toMatchObject({ priority });
    for (const priority of [2_147_483_648, 1.5, Number.NaN])
      await expect(store.policies.create(policy({ priority }))).rejects.toMatchObject({ code: 'validation' });
  });

  it('are listed on from every priority that there is', async () => {
    // F-H2d
    const { store } = subject();
    const priorities = [-2_147_483_648, -2_147_483_648, -1, 0, 2_147_483_647, 2_147_483_647];
    for (const [i, priority] of priorities.entries())
      await store.policies.create(policy({ name: `bound ${i}`, priority }));
    for (const sort of ['evaluation', 'newest'] as const) {
      const seen: number[] = [];
      let after: string | null = null;
      do {
        const page: Page<Policy> = await store.policies.list({}, { sort, limit: 1, after });
        seen.push(...page.items.filter(({ name }) => name.startsWith('bound ')).map(({ priority }) => priority));
        after = page.next;
      } while (after !== null);
      expect(seen.toSorted((a, b) => a - b)).toEqual(priorities);
    }
  });
});

contract('notification channels', (subject) => {
  it('are listed by an event when they are enabled and subscribed to it', async () => {
    const { store } = subject();
    const make = (name: string, events: string[], enabled = true) =>
      store.notificationChannels.create(channel({ name, events, enabled }));
    await make('b', ['incident_created', 'action_failed']);
    await make('a', ['action_failed']);
    await make('off', ['action_failed'], false);
    await make('other', ['action_failed_twice']);
    expect((await store.notificationChannels.listByEvent('action_failed')).map(({ name }) => name)).toEqual(['a', 'b']);
    expect(await store.notificationChannels.listByEvent('"; drop')).toEqual([]);
    await expect(store.notificationChannels.listByEvent('')).rejects.toMatchObject({ code: 'validation' });
  });

  it.each<[NotificationChannelFilter, Partial<NewNotificationChannel>, Partial<NewNotificationChannel>]>([
    [{ type: 'teams' }, { channelType: 'teams' }, {}],
    [{ type: ['teams', 'webhook'] }, { channelType: 'webhook' }, {}],
    [{ enabled: false }, { enabled: false }, {}],
    [{ event: 'x' }, { events: ['y', 'x'] }, { events: ['xx'] }],
    [{ event: ['p', 'q'] }, { events: ['q'] }, { events: [] }],
    [{ nameContains: 'night' }, { name: 'Night shift' }, { name: 'Day shift' }],
  ])('%j finds what fits and passes over what does not', async (filter, matching, other) => {
    // R-L1
    const { store } = subject();
    const before = await store.notificationChannels.count(filter);
    const fits = await store.notificationChannels.create(channel(matching));
    await store.notificationChannels.create(channel(other));
    expect(await store.notificationChannels.count(filter)).toBe(before + 1);
    expect((await store.notificationChannels.list(filter, { sort: 'newest', limit: 1 })).items[0]?.id).toBe(fits.id);
  });

  it('round-trip every type', async () => {
    // R-C5
    const { store } = subject();
    for (const channelType of CHANNEL_TYPES)
      expect(await store.notificationChannels.create(channel({ channelType }))).toMatchObject({ channelType });
  });
});

contract(
  'the database’s own plan',
  (subject) => {
    it('uses an index for the channels of an event, and for the policies in evaluation order', async () => {
      const { store, database, backend } = subject();
      await store.notificationChannels.createMany(
        Array.from({ length: 2000 }, (_, i) => channel({ name: `c${i}`, events: [`e${i}`, 'common'] })),
      );
      await store.policies.createMany(
        Array.from({ length: 2000 }, (_, i) => policy({ name: `p${i}`, priority: i, enabled: i % 2 === 0 })),
      );
      await database.raw(backend.dialect === 'sqlite' ? 'analyze' : 'vacuum analyze');
      const plan = async (sql: string) =>
        JSON.stringify(await database.raw(`${backend.dialect === 'sqlite' ? 'explain query plan' : 'explain'} ${sql}`));
      // PostgreSQL sorts the few policies that there are as fast; SQLite has no index of a JSON array's elements
      if (backend.dialect === 'sqlite')
        expect(await plan('select * from policies where enabled = 1 order by priority, created_at, id')).toContain(
          'policies_evaluation_idx',
        );
      else
        expect(
          await plan(`select * from notification_channels where enabled and (events @> '["e7"]'::jsonb)`),
        ).toContain('notification_channels_events_idx');
    });
  },
  SHARED_BACKENDS,
);
