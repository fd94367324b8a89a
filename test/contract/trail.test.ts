/** F-A1, F-A4, F-I3: the order of a trail is that of the changes, a change and its entry have one instant, and neither stands without the other. */
import { expect, it } from 'vitest';
import { type AuditLog, INCIDENT_STATUSES, type IncidentStatus, TrailError } from '../../src/index.ts';
import type { Store } from '../../src/store.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS, type TestDatabase } from '../support/databases.ts';
import { newAction, newIncident, proposed, trailOf } from '../support/fixtures.ts';
import { expectChain } from '../support/trail.ts';

contract('the trail', (subject) => {
  it('is a chain, though many change the same incidents', async () => {
    const { store, backend, database } = subject();
    const stores = backend.shared ? [store, await database.open(), await database.open()] : [store];
    const ids = await store.incidents.createMany(Array.from({ length: 10 }, () => newIncident()));
    const move = async (one: Store, n: number) => {
      const id = ids[n % ids.length] as string;
      const to = INCIDENT_STATUSES[(n * 7) % INCIDENT_STATUSES.length] as IncidentStatus;
      await one.incidents.transition(id, { from: INCIDENT_STATUSES, to });
      await one.incidents.setTicket(id, `T-${n}`);
    };
    await Promise.all(
      Array.from({ length: 24 }, async (_, writer) => {
        for (let i = 0; i < 15; i++) await move(stores[writer % stores.length] as Store, writer * 15 + i);
      }),
    );
    for (const id of ids) await expectChain(store, id);
  });

  it('has one instant for a row and its entry', async () => {
    const { store } = subject();
    const incident = await store.incidents.create(newIncident());
    const { id } = incident;
    expect((await trailOf(store, id))[0]?.createdAt).toEqual(incident.createdAt);
    expect(incident.updatedAt).toEqual(incident.createdAt);
    const changes: readonly (() => Promise<{ readonly updatedAt: Date }>)[] = [
      () => store.incidents.addTags(id, ['a']),
      () => store.incidents.update(id, { severity: 'low' }),
      () => store.incidents.transition(id, { from: 'new', to: 'enriching' }),
      () => store.incidents.addEnrichment(id, { enrichment_type: 'ip', source: 's', data: 1 }),
      () => store.incidents.setTicket(id, 'T'),
      () => store.incidents.mergeMetadata(id, { a: 1 }),
    ];
    for (let round = 0; round < 10; round++)
      for (const change of changes) {
        const row = await change().catch(() => undefined); // a transition that was made before
        if (!row) continue;
        const seen = await store.auditLogs.list({ incidentId: id, since: row.updatedAt });
        expect(seen.items.map(({ createdAt }) => createdAt)).toEqual([row.updatedAt]);
      }
    const last = (entries: readonly AuditLog[]) => entries.at(-1)?.createdAt;
    const action = await store.actions.propose(newAction(id));
    expect(last(await trailOf(store, id))).toEqual(action.createdAt);
    const approval = await store.approvals.request({ actionId: action.id, approvalLevel: 'senior' });
    expect(last(await trailOf(store, id))).toEqual(approval.requestedAt);
    const { decidedAt } = await store.as('somebody else').approvals.decide(approval.id, { decision: 'approved' });
    const decided = (await trailOf(store, id)).find((entry) => entry.action === 'approval_approved');
    expect(decided?.createdAt).toEqual(decidedAt);
    expect(last(await trailOf(store, id))).toEqual((await store.actions.get(action.id)).approvalTimestamp);
    const { executedAt } = await store.actions.complete(action.id);
    expect(last(await trailOf(store, id))).toEqual(executedAt);
    const appended = await store.auditLogs.append({ incidentId: id, action: 'comment_added' });
    expect(last(await trailOf(store, id))).toEqual(appended.createdAt);
    const many = await store.auditLogs.appendMany([{ incidentId: id, action: 'comment_added' }]);
    expect((await store.auditLogs.get(many[0]?.id as string)).createdAt).toEqual(many[0]?.createdAt);
  });

  it('is not dated by a time that a caller gave, its own nor that of others', async () => {
    const { store } = subject();
    const createdAt = new Date(Date.now() + 365 * 86_400_000);
    const ahead = await store.incidents.create(newIncident({ createdAt }));
    const other = await store.incidents.create(newIncident());
    const changed = await store.incidents.addTags(ahead.id, ['a']);
    expect(changed.updatedAt.getTime()).toBe(createdAt.getTime() + 1); // it always grows
    const ready = await Promise.all(
      [ahead, other].map(({ id }) => store.actions.propose(newAction(id, { priority: 1 }))),
    );
    for (const { id } of ready) await store.actions.approve(id);
    await store.actions.claim({ worker: 'w', limit: 200 });
    for (const { id } of [ahead, other])
      for (const entry of await trailOf(store, id)) expect(entry.createdAt.getTime()).toBeLessThan(Date.now() + 60_000);
    expect((await store.incidents.addTags(other.id, ['a'])).updatedAt.getTime()).toBeLessThan(Date.now() + 60_000);
  });

  it('says nothing of changes that change nothing, and no others see one', async () => {
    // F-A2
    const { store } = subject();
    const { id } = await store.incidents.create(
      newIncident({ tags: ['a'], metadata: { n: 1, deep: { x: [1, 'zwei'] }, e: 1e21 } }),
    );
    const incident = await store.incidents.get(id);
    const same: Record<string, () => Promise<unknown>> = {
      'a tag that is there': () => store.incidents.addTags(id, ['a']),
      'no tags': () => store.incidents.addTags(id, []),
      'a tag that is not': () => store.incidents.removeTags(id, ['b']),
      'no ticket': () => store.incidents.setTicket(id, null),
      'the status that it has': () => store.incidents.transition(id, { from: ['new', 'closed'], to: 'new' }),
      'the severity': () => store.incidents.update(id, { severity: 'high' }),
      'all fields': () =>
        store.incidents.update(id, {
          severity: 'high',
          source: incident.source,
          alertData: incident.alertData,
          ticketId: null,
          tags: ['a'],
          metadata: incident.metadata,
        }),
      'metadata that are there': () => store.incidents.mergeMetadata(id, { deep: { x: [1, 'zwei'] }, n: 1 }),
      'no metadata': () => store.incidents.mergeMetadata(id, {}),
      'as it is expected': () => store.incidents.update(id, { severity: 'high' }, { ifUpdatedAt: incident.updatedAt }),
    };
    for (const [name, change] of Object.entries(same)) expect(await change(), name).toEqual(incident);
    expect(await trailOf(store, id)).toHaveLength(1);
    // what must hold is looked at first
    await expect(store.incidents.transition(id, { from: 'closed', to: 'new' })).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(store.incidents.update(id, { severity: 'high' }, { ifUpdatedAt: new Date(0) })).rejects.toMatchObject({
      code: 'conflict',
    });
    const missing = '00000000-0000-7000-8000-000000000000';
    await expect(store.incidents.addTags(missing, ['a'])).rejects.toMatchObject({ code: 'not_found' });
    expect(await store.incidents.get(id)).toEqual(incident);
    expect(await trailOf(store, id)).toHaveLength(1);
  });

  it('names only what came and went', async () => {
    // F-A2
    const { store } = subject();
    const { id } = await store.incidents.create(
      newIncident({ tags: ['a', 'b', '\ue0f0'], metadata: { n: 1, m: '1', '\0': { x: 1 } }, ticketId: 'T' }),
    );
    await store.incidents.addTags(id, ['z', 'b', 'c', '\ue0f0']);
    await store.incidents.removeTags(id, ['nothing', 'c', 'a', '\ue0f0']);
    await store.incidents.mergeMetadata(id, { new: null, n: 1, m: 1, '\0': { x: 2 }, 'a"b.c': 1 });
    await store.incidents.update(id, { severity: 'low', ticketId: 'T', tags: ['z', 'b'], metadata: {} });
    await store.incidents.update(id, { severity: 'low', ticketId: null, source: { edr: 'x' } });
    const details = (await trailOf(store, id)).slice(1).map((entry) => entry.details);
    expect(details).toEqual([
      { tags: ['z', 'c'] },
      { tags: ['c', 'a', '\ue0f0'] },
      { keys: ['new', 'm', '\0', 'a"b.c'] },
      { fields: ['severity', 'tags', 'metadata'], severity: { from: 'high', to: 'low' } },
      { fields: ['source', 'ticket_id'], ticket_id: { from: 'T', to: null } },
    ]);
  });

  it('has the times of the clock that the store was given', async () => {
    const database = await subject().backend.create();
    let at = new Date('2030-01-01T00:00:00.000Z');
    const store = await database.open({ now: () => at });
    const [id] = (await store.incidents.createMany([newIncident()])) as [string];
    at = new Date('2031-01-01T00:00:00.000Z');
    await store.incidents.addTags(id, ['a']);
    await store.auditLogs.append({ incidentId: id, action: 'comment_added' });
    const trail = await trailOf(store, id);
    expect(trail.map(({ createdAt }) => createdAt.getFullYear())).toEqual([2030, 2031, 2031]);
    expect(await store.incidents.get(id)).toMatchObject({ createdAt: new Date('2030-01-01'), updatedAt: at });
    await database.drop();
  });
});

contract(
  'what other writers left in JSON columns',
  (subject) => {
    it('is added to the same on both databases, or not at all', async () => {
      // F-E3
      const { store, database, backend } = subject();
      const cast = backend.dialect === 'sqlite' ? '' : '::jsonb';
      const { id } = await store.incidents.create(newIncident());
      const write = (column: string, json: string) =>
        database.raw(`update incidents set ${column} = '${json}'${cast} where id = '${id}'`);
      await write('tags', '["a","a"]');
      expect((await store.incidents.addTags(id, ['b', 'a', 'b'])).tags).toEqual(['a', 'a', 'b']);
      expect((await store.incidents.removeTags(id, ['a'])).tags).toEqual(['b']);
      const before = await trailOf(store, id);
      for (const [column, json, change] of [
        ['metadata', '[1]', () => store.incidents.mergeMetadata(id, { a: 1 })],
        ['tags', '{}', () => store.incidents.addTags(id, ['a'])],
        ['tags', '"a"', () => store.incidents.removeTags(id, ['a'])],
        ['enrichments', '{}', () => store.incidents.addEnrichment(id, { enrichment_type: 'ip', source: 's', data: 1 })],
        [
          'proposed_actions',
          '1',
          () => store.incidents.proposeAction(id, { action_type: 'x', target: 'none', reason: 'r' }),
        ],
      ] as const) {
        const [old] = await database.raw(`select ${column} as value from incidents where id = '${id}'`);
        await write(column, json);
        await expect(change(), `${column} ${json}`).rejects.toMatchObject({ code: 'conflict', table: 'incidents' });
        await write(column, String(old?.value));
      }
      expect(await trailOf(store, id)).toEqual(before);
    });
  },
  SHARED_BACKENDS,
);

contract(
  'a trail whose entries the database drops',
  (subject) => {
    const broken = async (table: string, event: 'insert' | 'update') => {
      const database = await subject().backend.create();
      const store = await database.open();
      const made = await proposed(store);
      const other = await store.incidents.create(newIncident());
      await drops(database, table, event);
      return { database, store, action: made, id: made.incidentId, other };
    };
    const drops = async (database: TestDatabase, table: string, event: string) => {
      if (subject().backend.dialect === 'sqlite')
        return database.raw(`create trigger dropping before ${event} on ${table} begin select raise(ignore); end`);
      await database.raw(`create function dropping() returns trigger language plpgsql as 'begin return null; end'`);
      return database.raw(
        `create trigger dropping before ${event} on ${table} for each row execute function dropping()`,
      );
    };

    it('keeps no change whose entry was not written, in any path', async () => {
      const { database, store, action, id, other } = await broken('audit_logs', 'insert');
      const before = await store.incidents.get(id);
      const attempts: Record<string, () => Promise<unknown>> = {
        create: () => store.incidents.create(newIncident()),
        createMany: () => store.incidents.createMany([newIncident(), newIncident()]),
        ignoring: () =>
          store.incidents.createMany([newIncident({ id: other.id }), newIncident()], { onConflict: 'ignore' }),
        update: () => store.incidents.update(id, { severity: 'low', ticketId: 'T' }),
        transition: () => store.incidents.transition(id, { from: ['new', 'closed'], to: 'enriching' }),
        addTags: () => store.incidents.addTags(id, ['t']),
        addEnrichment: () => store.incidents.addEnrichment(id, { enrichment_type: 'ip', source: 's', data: 1 }),
        mergeMetadata: () => store.incidents.mergeMetadata(id, { a: 1 }),
        propose: () => store.actions.propose(newAction(id)),
        request: () => store.approvals.request({ actionId: action.id, approvalLevel: 'senior' }),
        approve: () => store.actions.approve(action.id),
        append: () => store.auditLogs.append({ incidentId: id, action: 'comment_added' }),
        appendMany: () => store.auditLogs.appendMany([{ incidentId: id, action: 'comment_added' }]),
        transaction: () => store.transaction((tx) => tx.incidents.addTags(id, ['t'])),
        nested: () => store.transaction((tx) => tx.transaction((inner) => inner.actions.deny(action.id))),
      };
      for (const [name, attempt] of Object.entries(attempts)) {
        const error = await attempt().catch((thrown) => thrown);
        expect(error, name).toBeInstanceOf(TrailError);
        expect(error, name).toMatchObject({ code: 'trail' });
      }
      // those that share a commit on SQLite, too
      const together = await Promise.allSettled(Array.from({ length: 5 }, () => store.incidents.addTags(id, ['t'])));
      expect(together.every(({ status }) => status === 'rejected')).toBe(true);
      await database.raw(`update actions set approval_status = 'approved'`);
      await expect(store.actions.claim({ worker: 'w' })).rejects.toMatchObject({ code: 'trail' });
      await expect(store.actions.complete(action.id)).rejects.toMatchObject({ code: 'trail' });
      expect(await store.incidents.get(id)).toEqual(before);
      expect(await store.incidents.count()).toBe(2);
      expect(await store.actions.get(action.id)).toMatchObject({ approvalStatus: 'approved', result: null });
      expect(await store.approvals.count()).toBe(0);
      await database.drop();
    });

    it('keeps no entry whose change was not made', async () => {
      const { database, store, id } = await broken('incidents', 'update');
      const before = await trailOf(store, id);
      await expect(store.incidents.addTags(id, ['t'])).rejects.toMatchObject({ code: 'trail' });
      await expect(store.incidents.transition(id, { from: 'new', to: 'closed' })).rejects.toMatchObject({
        code: 'trail',
      });
      expect(await trailOf(store, id)).toEqual(before);
      await database.drop();
    });

    it('keeps no row of a large import either', async () => {
      const { database, store } = await broken('audit_logs', 'insert');
      const big = { text: 'x'.repeat(100_000) };
      const many = Array.from({ length: 60 }, () => newIncident({ alertData: big }));
      await expect(store.incidents.createMany(many)).rejects.toMatchObject({ code: 'trail' });
      expect(await store.incidents.count()).toBe(2);
      await database.drop();
    });
  },
  SHARED_BACKENDS,
);
