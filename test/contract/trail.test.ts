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
        return database.raw(
          `create trigger dropping before ${event} on ${table} begin select raise(ignore) where coalesce(new.id, '') <> 'x'; end`,
        );
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
