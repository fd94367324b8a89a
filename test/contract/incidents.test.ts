import { expect, it } from 'vitest';
import { ConflictError, NotFoundError, UniqueError, ValidationError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { actionsOf, newIncident, trailOf } from '../support/fixtures.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';

contract('incidents', (subject) => {
  it('are created with their defaults, and read back the same', async () => {
    const { store } = subject();
    const created = await store.incidents.create(newIncident({ source: 'user_reported' }));
    expect(created).toMatchObject({
      source: 'user_reported',
      status: 'new',
      enrichments: [],
      analysis: null,
      proposedActions: [],
      ticketId: null,
      tags: [],
      metadata: {},
    });
    expect(created.createdAt).toEqual(created.updatedAt);
    expect(await store.incidents.get(created.id)).toEqual(created);
    expect(await store.incidents.find(created.id.toUpperCase())).toEqual(created);
  });

  it('take the caller’s own id, once', async () => {
    const { store } = subject();
    const id = 'ABCDEF00-1234-4ABC-8DEF-0123456789AB';
    expect((await store.incidents.create(newIncident({ id }))).id).toBe(id.toLowerCase());
    await expect(store.incidents.create(newIncident({ id }))).rejects.toBeInstanceOf(UniqueError);
    await expect(store.incidents.createMany([newIncident(), newIncident({ id })])).rejects.toBeInstanceOf(UniqueError);
  });

  it('are created many at a time, in order, all or none, each with its audit entry', async () => {
    const { store } = subject();
    const tag = 'many';
    const ids = await store
      .as('ingest')
      .incidents.createMany(Array.from({ length: 2500 }, (_, n) => newIncident({ tags: [tag], metadata: { n } })));
    expect(ids).toHaveLength(2500);
    expect((await store.incidents.get(ids[1234] ?? '')).metadata).toEqual({ n: 1234 });
    expect(await trailOf(store, ids[2499] ?? '')).toMatchObject([{ action: 'incident_created', actor: 'ingest' }]);
    const duplicated = [
      ...Array.from({ length: 1500 }, () => newIncident({ tags: [tag] })),
      newIncident({ id: ids[0] as string }),
    ];
    await expect(store.incidents.createMany(duplicated)).rejects.toBeInstanceOf(UniqueError);
    expect(await store.incidents.count({ tag })).toBe(2500);
    expect(await store.incidents.createMany([])).toEqual([]);
  });

  it('refuse bad input with every place, before anything is written', async () => {
    const { store } = subject();
    const bad = { severity: 'urgent', source: { siem: 7 }, alertData: undefined, extra: 1, tags: [''] };
    const error = await store.incidents.create(bad as never).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ValidationError);
    expect(error.issues.map(({ path }: { path: string }) => path).sort()).toEqual([
      '',
      'alertData',
      'severity',
      'source',
      'tags[0]',
    ]);
    await expect(store.incidents.get('not-a-uuid')).rejects.toMatchObject({
      code: 'validation',
      issues: [{ path: 'id' }],
    });
  });

  it('keep unknown keys of the shapes that Triage Warden writes, and are strict about the known ones', async () => {
    const { store } = subject();
    const enrichment = { enrichment_type: 'whois', source: 'whois', data: null, vendor: { x: [1] } };
    const { id } = await store.incidents.create(
      newIncident({ source: { custom: 'probe', version: 2 }, enrichments: [enrichment] }),
    );
    const read = await store.incidents.get(id);
    expect(read.source).toEqual({ custom: 'probe', version: 2 });
    expect(read.enrichments[0]).toMatchObject(enrichment);
    expect(read.enrichments[0]?.timestamp).toMatch(/^\d{4}-/);
    const analysis = {
      verdict: 'suspicious',
      confidence: 0.7,
      summary: 's',
      risk_score: 70,
      evidence: [{ log: 1 }],
      model_version: 'm1',
    } as const;
    const analysed = await store.as('ai').incidents.setAnalysis(id, analysis);
    expect(analysed.analysis).toMatchObject({ ...analysis, analyzed_by: 'ai', iocs: [], recommendations: [] });
    for (const broken of [
      { ...analysis, confidence: 2 },
      { ...analysis, verdict: 'bad' },
      { ...analysis, risk_score: 0.5 },
    ])
      await expect(store.incidents.setAnalysis(id, broken as never)).rejects.toThrow(ValidationError);
    await expect(store.incidents.addEnrichment(id, { source: 'x', data: 1 } as never)).rejects.toThrow(
      'enrichment_type',
    );
  });

  it('are updated in part: undefined keeps, null clears', async () => {
    // R-E3
    const { store } = subject();
    const { id, updatedAt } = await store.incidents.create(
      newIncident({ ticketId: 'T-1', tags: ['a'], metadata: { m: 1 } }),
    );
    const updated = await store.incidents.update(id, { severity: 'low', ticketId: undefined });
    expect(updated).toMatchObject({ severity: 'low', ticketId: 'T-1', tags: ['a'], metadata: { m: 1 } });
    expect(updated.updatedAt.getTime()).toBeGreaterThan(updatedAt.getTime());
    expect(await store.incidents.update(id, { ticketId: null, tags: ['b', 'b'], metadata: {} })).toMatchObject({
      ticketId: null,
      tags: ['b'],
      metadata: {},
    });
    expect(await store.incidents.update(id, {})).toEqual(await store.incidents.get(id));
    await expect(store.incidents.update(id, { status: 'closed' } as never)).rejects.toThrow(ValidationError);
    await expect(store.incidents.update(NOBODY, { severity: 'low' })).rejects.toMatchObject({
      code: 'not_found',
      table: 'incidents',
      id: NOBODY,
    });
    await expect(store.incidents.update(NOBODY, {})).rejects.toThrow(NotFoundError);
    const details = (await trailOf(store, id))
      .filter(({ action }) => action === 'incident_updated')
      .map((entry) => entry.details);
    expect(details).toEqual([
      { fields: ['severity'], severity: { from: 'high', to: 'low' } },
      { fields: ['ticket_id', 'tags', 'metadata'], ticket_id: { from: 'T-1', to: null } },
    ]);
  });

  it('let one of two racers through with `ifUpdatedAt`', async () => {
    // R-E4
    const { store } = subject();
    const { id, updatedAt } = await store.incidents.create(newIncident());
    const results = await Promise.allSettled(
      (['low', 'medium', 'info', 'critical'] as const).map((severity) =>
        store.incidents.update(id, { severity }, { ifUpdatedAt: updatedAt }),
      ),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(ConflictError);
    expect(await actionsOf(store, id)).toEqual(['incident_created', 'incident_updated']);
    await expect(store.incidents.update(id, {}, { ifUpdatedAt: updatedAt })).rejects.toThrow(ConflictError);
    const { updatedAt: now } = await store.incidents.get(id);
    await store.incidents.update(id, { severity: 'high' }, { ifUpdatedAt: now });
  });

  it('move by compare-and-set: of two that try at once one wins, and there is one audit row', async () => {
    // R-A4
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident());
    const results = await Promise.allSettled(
      ['alice', 'bob', 'carol'].map((actor) =>
        store.as(actor).incidents.transition(id, { from: 'new', to: 'enriching' }),
      ),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(
      results.filter((result) => result.status === 'rejected' && result.reason instanceof ConflictError),
    ).toHaveLength(2);
    expect(await actionsOf(store, id)).toEqual(['incident_created', 'status_changed']);
    await store.incidents.transition(id, { from: ['analyzing', 'enriching'], to: 'closed' });
    expect((await trailOf(store, id)).map(({ details }) => details)).toEqual([
      { severity: 'high', status: 'new' },
      { from: 'new', to: 'enriching' },
      { from: 'enriching', to: 'closed' },
    ]);
    await expect(store.incidents.transition(NOBODY, { from: 'new', to: 'closed' })).rejects.toThrow(NotFoundError);
    await expect(store.incidents.transition(id, { from: ['new', 'analyzing'], to: 'closed' })).rejects.toThrow(
      ConflictError,
    );
  });

  it('lose nothing of 100 concurrent enrichments, tags, proposals and members', async () => {
    // R-A5
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident({ tags: ['first'] }));
    const hundred = Array.from({ length: 100 }, (_, i) => i);
    await Promise.all(
      hundred.flatMap((i) => [
        store.incidents.addEnrichment(id, { enrichment_type: 'threat_intel', source: `s${i}`, data: i }),
        store.incidents.addTags(id, [`tag${i}`, 'first', 'shared']),
        store.incidents.proposeAction(id, { action_type: 'block_ip', reason: `r${i}` }),
        store.incidents.mergeMetadata(id, { [`k${i}`]: i }),
      ]),
    );
    const incident = await store.incidents.get(id);
    expect(incident.enrichments.map(({ source }) => source).sort()).toEqual(hundred.map((i) => `s${i}`).sort());
    expect(incident.tags).toHaveLength(102);
    expect(incident.tags[0]).toBe('first');
    expect(incident.proposedActions).toHaveLength(100);
    expect(Object.keys(incident.metadata)).toHaveLength(100);
    expect(await store.auditLogs.count({ incidentId: id })).toBe(401);
    await Promise.all(hundred.map((i) => store.incidents.removeTags(id, [`tag${i}`, 'not there'])));
    expect((await store.incidents.get(id)).tags.slice().sort()).toEqual(['first', 'shared']);
  });

  it('tell a first ticket from a changed one', async () => {
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident());
    await store.incidents.setTicket(id, 'T-1');
    await store.incidents.setTicket(id, 'T-\ue0f0');
    await store.incidents.setTicket(id, null);
    expect((await trailOf(store, id)).slice(1).map(({ action, details }) => [action, details])).toEqual([
      ['ticket_created', { from: null, to: 'T-1' }],
      ['ticket_updated', { from: 'T-1', to: 'T-\ue0f0' }],
      ['ticket_updated', { from: 'T-\ue0f0', to: null }],
    ]);
    await expect(store.incidents.setTicket(NOBODY, 'T')).rejects.toThrow(NotFoundError);
  });

  it('refuse too large and too deep JSON as the store was told', async () => {
    // R-C4
    const { database } = subject();
    const store = await database.open({ jsonLimits: { maxBytes: 100, maxDepth: 2 } });
    await expect(store.incidents.create(newIncident({ alertData: 'x'.repeat(200) }))).rejects.toThrow(
      'larger than 100 bytes',
    );
    await expect(store.incidents.create(newIncident({ alertData: [[[]]] }))).rejects.toThrow('deeper than 2');
    await store.incidents.create(newIncident({ alertData: [[]] }));
  });

  it('take thousands of members of metadata at once', async () => {
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident({ metadata: { k7: 'old', own: true } }));
    const many = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`k${i}`, i]));
    expect((await store.incidents.mergeMetadata(id, many)).metadata).toEqual({ own: true, ...many });
  });
});

contract(
  'concurrent changes from several stores',
  (subject) => {
    it('leave a trail in which every change follows from the one before', async () => {
      // R-A1, R-A4: the `from` of each entry is the `to` of another
      const { database } = subject();
      const stores = await Promise.all([database.open(), database.open(), database.open()]);
      const [first] = stores;
      if (!first) throw new Error('There are three stores');
      const { id } = await first.incidents.create(newIncident({ ticketId: 'T-start' }));
      await Promise.all(
        stores.flatMap((store, s) =>
          Array.from({ length: 20 }, (_, i) => store.as(`worker-${s}`).incidents.setTicket(id, `T-${s}-${i}`)),
        ),
      );
      const changes = (await trailOf(first, id))
        .filter(({ action }) => action === 'ticket_updated')
        .map(({ details }) => details as { from: string; to: string });
      expect(changes).toHaveLength(60);
      const next = new Map(changes.map(({ from, to }) => [from, to]));
      let at = 'T-start';
      for (let step = 0; step < 60; step++) at = next.get(at) ?? 'broken';
      expect(at).toBe((await first.incidents.get(id)).ticketId);
    });
  },
  SHARED_BACKENDS,
);
