import { expect, it } from 'vitest';
import { contract } from '../support/contract.ts';
import { newIncident, trailOf } from '../support/fixtures.ts';

contract('incidents, many at once', (subject) => {
  const tagged = (tag: string, count: number, from = 0) =>
    Array.from({ length: count }, (_, i) => newIncident({ tags: [tag], alertData: { n: from + i } }));

  it('do not stand in each other’s way, in whatever order two imports hold the same ids', async () => {
    // F-I1
    const { store, database, backend } = subject();
    const other = backend.shared ? await database.open() : store;
    for (const onConflict of ['ignore', 'error'] as const)
      for (let round = 0; round < 4; round++) {
        const many = Array.from({ length: 240 }, () => newIncident({ id: crypto.randomUUID() }));
        const ids = many.map(({ id }) => id);
        const lists = [many, many.toReversed(), many.toSorted(() => Math.random() - 0.5)];
        const outcomes = await Promise.allSettled(
          lists.map((list, i) => (i % 2 ? other : store).incidents.createMany(list, { onConflict })),
        );
        const created = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
        for (const outcome of outcomes)
          if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'unique_violation' });
        if (onConflict === 'ignore') expect(created).toHaveLength(3);
        expect(created.flat().toSorted()).toEqual(ids.toSorted()); // each by one of them
        for (const [i, outcome] of outcomes.entries())
          if (outcome.status === 'fulfilled') {
            const order = new Map(lists[i]?.map(({ id }, at) => [id, at]));
            expect(outcome.value).toEqual(outcome.value.toSorted((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0)));
          }
      }
  });

  it('come from a list, a generator, or one by one, in order, each with its audit row', async () => {
    // R-L5, R-A1
    const { store } = subject();
    function* some() {
      yield* tagged('generated', 2500);
    }
    async function* incoming() {
      for (const incident of tagged('incoming', 2500)) {
        if (Math.random() < 0.01) await new Promise(setImmediate);
        yield incident;
      }
    }
    for (const [tag, inputs] of [
      ['generated', some()],
      ['incoming', incoming()],
    ] as const) {
      const ids = await store.as('importer').incidents.createMany(inputs);
      expect(new Set(ids).size).toBe(2500);
      let n = 2500;
      for await (const { id, alertData } of store.incidents.stream({ tag })) {
        n--;
        expect([id, alertData]).toEqual([ids[n], { n }]);
      }
      expect(n).toBe(0);
      expect(await trailOf(store, ids[1234] as string)).toMatchObject([
        { action: 'incident_created', actor: 'importer' },
      ]);
    }
    expect(await store.auditLogs.count({ actor: 'importer' })).toBe(5000);
    expect(await store.incidents.createMany([])).toEqual([]);
  });

  it('are all created, or none: whatever goes wrong, and wherever', async () => {
    // R-L5
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident());
    const before = [await store.incidents.count(), await store.auditLogs.count()];
    const bad = (at: number, wrong: object) =>
      tagged('all or none', 3000).map((one, i) => (i === at ? { ...one, ...wrong } : one));
    await expect(store.incidents.createMany(bad(2999, { severity: 'urgent' }) as never)).rejects.toMatchObject({
      code: 'validation',
      issues: [expect.objectContaining({ path: '[2999].severity' })],
    });
    await expect(store.incidents.createMany(bad(1500, { id }))).rejects.toMatchObject({ code: 'unique_violation' });
    let ended = false;
    async function* failing() {
      try {
        yield* tagged('all or none', 1200);
        throw new Error('the source failed');
      } finally {
        ended = true;
      }
    }
    await expect(store.incidents.createMany(failing())).rejects.toThrow('the source failed');
    expect(ended).toBe(true);
    let closed = false;
    async function* endless() {
      try {
        for (let i = 0; ; i++) yield i < 700 ? newIncident() : ({ severity: 'urgent' } as never);
      } finally {
        closed = true;
      }
    }
    await expect(store.incidents.createMany(endless())).rejects.toMatchObject({ code: 'validation' });
    expect(closed).toBe(true);
    for (const none of [undefined, null, {}, 5, 'text'])
      await expect(store.incidents.createMany(none as never)).rejects.toMatchObject({ code: 'validation' });
    expect([await store.incidents.count(), await store.auditLogs.count()]).toEqual(before);
  });

  it('pass over those whose id is taken, when they are told to, with their audit rows', async () => {
    const { store } = subject();
    const ids = Array.from({ length: 1500 }, () => crypto.randomUUID());
    const make = (wanted: readonly string[], tag: string) => wanted.map((id) => newIncident({ id, tags: [tag] }));
    await store.incidents.createMany(make(ids.slice(0, 1000), 'first'));
    const again = [...make(ids, 'again'), ...make(ids.slice(1400), 'twice')];
    const created = await store.incidents.createMany(again, { onConflict: 'ignore' });
    expect(created).toEqual(ids.slice(1000));
    expect(await store.incidents.count({ tag: 'first' })).toBe(1000);
    expect(await store.incidents.count({ tag: 'again' })).toBe(500);
    expect(await store.incidents.count({ tag: 'twice' })).toBe(0);
    for (const id of [ids[5], ids[1450]]) expect(await trailOf(store, id as string)).toHaveLength(1);
    expect(await store.incidents.createMany(again, { onConflict: 'ignore' })).toEqual([]);
    await expect(store.incidents.createMany([], { onConflict: 'update' } as never)).rejects.toMatchObject({
      code: 'validation',
    });
  });

  it('let timers run while they are stored', async () => {
    const { store } = subject();
    const rows = tagged('timers', 5000);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await store.incidents.createMany(rows);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3); // none, where they had to wait
  });
});

contract('reads of some columns', (subject) => {
  it('answer these and no others, in every read', async () => {
    const { store } = subject();
    const tags = [crypto.randomUUID()];
    const ids = await store.incidents.createMany(Array.from({ length: 30 }, () => newIncident({ tags })));
    const [tag] = tags;
    const some = store.incidents.select(['severity', 'alertData']);
    const one = { severity: 'high', alertData: newIncident().alertData };
    expect(await some.get(ids[0] as string)).toEqual(one);
    expect(await some.find(crypto.randomUUID())).toBeNull();
    await expect(some.get(crypto.randomUUID())).rejects.toMatchObject({ code: 'not_found' });
    expect((await some.listPage({ tag }, { perPage: 7 })).items).toEqual(Array.from({ length: 7 }, () => one));
    expect(await some.count({ tag })).toBe(30);
    const list = store.incidents.select(['id']);
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const page = await list.list({ tag }, { sort: 'recently_updated', limit: 7, after });
      for (const row of page.items) {
        expect(Object.keys(row)).toEqual(['id']);
        seen.push(row.id);
      }
      after = page.next;
    } while (after);
    expect(seen.toSorted()).toEqual(ids.toSorted());
    const streamed: string[] = [];
    for await (const { id } of list.stream({ tag }, { sort: 'oldest', batchSize: 4 })) streamed.push(id);
    expect(streamed).toEqual(ids);
  });

  it('have a summary of incidents, without payloads', async () => {
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident({ tags: ['t'], ticketId: 'T-1' }));
    const { alertData, enrichments, analysis, proposedActions, metadata, ...summary } = await store.incidents.get(id);
    expect(await store.incidents.summary.get(id)).toEqual(summary);
    expect((await store.as('x').incidents.summary.list({}, { limit: 1 })).items).toHaveLength(1);
    expect([alertData, enrichments, analysis, proposedActions, metadata]).toHaveLength(5);
  });

  it('refuse what is no column, or one that no read answers', async () => {
    const { store } = subject();
    for (const columns of [[], ['nope'], ['id', 'passwordHash'], 'id', undefined, ['toString']])
      expect(() => store.users.select(columns as never)).toThrow(expect.objectContaining({ code: 'validation' }));
    expect(() => store.apiKeys.select(['keyHash' as never])).toThrow(expect.objectContaining({ code: 'validation' }));
  });

  it('hold to what every read holds to: an expired session is gone', async () => {
    const { store } = subject();
    await store.sessions.create({ id: 'gone', data: Uint8Array.of(1), expiryDate: 1 });
    expect(await store.sessions.select(['expiryDate']).find('gone')).toBeNull();
  });
});

contract('streams', (subject) => {
  it('meet every row that was there at the start once, while others write', async () => {
    // R-L4
    const { store } = subject();
    const tag = crypto.randomUUID();
    const ids = await store.incidents.createMany(
      Array.from({ length: 300 }, (_, i) =>
        newIncident({ tags: [tag], createdAt: new Date(1_700_000_000_000 + (i >> 3)) }),
      ),
    );
    for (const sort of ['newest', 'oldest'] as const) {
      const seen: string[] = [];
      for await (const { id } of store.incidents.stream({ tag }, { sort, batchSize: 10 })) {
        seen.push(id);
        if (seen.length % 10) continue;
        await store.incidents.createMany([
          newIncident({ tags: [tag] }),
          newIncident({ tags: [tag], createdAt: new Date(0) }),
        ]);
        await store.incidents.setTicket(ids[(seen.length * 7) % 300] as string, 'moved');
      }
      expect(new Set(seen).size).toBe(seen.length);
      const met = new Set(seen);
      expect(ids.filter((id) => !met.has(id))).toEqual([]);
    }
  });

  it('are refused in an order in which rows move', async () => {
    const { store } = subject();
    const first = async (stream: AsyncGenerator<unknown>) => (await stream.next()).value;
    for (const stream of [
      store.incidents.stream({}, { sort: 'recently_updated' }),
      store.policies.stream({}, { sort: 'evaluation' }),
      store.incidents.stream({}, { batchSize: '5' as never }),
    ])
      await expect(first(stream)).rejects.toMatchObject({ code: 'validation' });
    await store.policies.create({ name: 'p', condition: 'c', action: 'deny' });
    for (const stream of [store.policies.stream(), store.incidents.stream({}, { batchSize: 1e9 })])
      expect(await first(stream)).toBeDefined();
  });
});
