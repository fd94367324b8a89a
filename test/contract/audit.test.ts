import { expect, it } from 'vitest';
import { ForeignKeyError, ValidationError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { actionsOf, newAction, newIncident, trailOf } from '../support/fixtures.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';

contract('the audit trail', (subject) => {
  it('has one entry for every write on incidents, actions and approvals, in order, with the actor', async () => {
    // R-A1
    const store = subject().store.as('alice');
    const { id } = await store.incidents.create(newIncident());
    await store.incidents.transition(id, { from: 'new', to: 'enriching' });
    await store.incidents.addEnrichment(id, { enrichment_type: 'host_info', source: 'edr', data: {} });
    await store.incidents.setAnalysis(id, { verdict: 'true_positive', confidence: 1, summary: 's', risk_score: 99 });
    await store.incidents.addTags(id, ['a']);
    await store.incidents.removeTags(id, ['a']);
    await store.incidents.setTicket(id, 'T');
    await store.incidents.mergeMetadata(id, { a: 1 });
    await store.incidents.update(id, { severity: 'low' });
    await store.incidents.proposeAction(id, { action_type: 'block_ip', reason: 'r' });
    const one = await store.actions.propose(newAction(id));
    const request = await store.approvals.request({ actionId: one.id, approvalLevel: 'senior' });
    await store.approvals.decide(request.id, { decision: 'approved' });
    const [claimed] = (await store.actions.claim({ worker: 'w', limit: 200 })).filter((action) => action.id === one.id);
    if (!claimed) throw new Error('It was approved');
    await store.actions.renew(one.id, claimed.lease);
    await store.actions.release(one.id, claimed.lease);
    await store.actions.complete(one.id, { result: 'done' });
    const two = await store.actions.propose(newAction(id));
    await store.actions.deny(two.id, { reason: 'no' });
    const three = await store.actions.propose(newAction(id));
    await store.actions.autoApprove(three.id);
    await store.actions.fail(three.id, { result: { error: 'timeout' } });
    await store.auditLogs.append({ incidentId: id, action: 'comment_added', details: { text: 'hm' } });
    const trail = await trailOf(store, id);
    expect(trail.map(({ action }) => action)).toEqual([
      'incident_created',
      'status_changed',
      'enrichment_added',
      'analysis_completed',
      'tags_added',
      'tags_removed',
      'ticket_created',
      'metadata_merged',
      'incident_updated',
      'action_proposed',
      'action_proposed',
      'approval_requested',
      'approval_approved',
      'action_approved',
      'action_claimed',
      'action_lease_renewed',
      'action_released',
      'action_executed',
      'action_proposed',
      'action_denied',
      'action_proposed',
      'action_approved',
      'action_failed',
      'comment_added',
    ]);
    expect(new Set(trail.map(({ actor }) => actor))).toEqual(new Set(['alice']));
  });

  it('is `system`’s unless the store says otherwise', async () => {
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident());
    expect(await trailOf(store, id)).toMatchObject([{ actor: 'system', incidentId: id }]);
    expect(() => store.as('')).toThrow(ValidationError);
  });

  it('takes a service’s own entries, one or many, all or none', async () => {
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident());
    const own = await store.as('bot').auditLogs.append({ incidentId: id, action: 'pager_called', details: { n: 1 } });
    expect(await store.auditLogs.get(own.id)).toEqual(own);
    const many = await store.auditLogs.appendMany([
      { incidentId: id, action: 'comment_added' },
      { incidentId: id, action: 'comment_added', details: null },
    ]);
    expect(many.map(({ details }) => details)).toEqual([null, null]);
    await expect(store.auditLogs.append({ incidentId: NOBODY, action: 'x' })).rejects.toBeInstanceOf(ForeignKeyError);
    await expect(
      store.auditLogs.appendMany([
        { incidentId: id, action: 'lost' },
        { incidentId: NOBODY, action: 'lost' },
      ]),
    ).rejects.toBeInstanceOf(ForeignKeyError);
    expect(await actionsOf(store, id)).toEqual(['incident_created', 'pager_called', 'comment_added', 'comment_added']);
    await expect(store.auditLogs.append({ id: own.id, incidentId: id, action: 'x' })).rejects.toMatchObject({
      code: 'unique_violation',
      table: 'audit_logs',
      columns: ['id'],
    });
  });
});

contract(
  'the audit trail, from any client',
  (subject) => {
    const refusal = async (sql: string) => {
      const { database } = subject();
      return database.raw(sql).then(
        () => 'accepted',
        (error: Error) => error.message,
      );
    };

    it('refuses UPDATE, DELETE, TRUNCATE, replacement, and the cascade from its incident', async () => {
      // R-A2
      const { store, backend } = subject();
      const { id } = await store.incidents.create(newIncident());
      const [entry] = await trailOf(store, id);
      const statements = [
        `update audit_logs set actor = 'mallory'`,
        `delete from audit_logs where incident_id = '${id}'`,
        ...(backend.dialect === 'postgres'
          ? [
              'truncate audit_logs',
              'truncate incidents cascade',
              `insert into audit_logs select * from audit_logs where id = '${entry?.id}' on conflict (id) do update set actor = 'mallory'`,
            ]
          : [
              `insert or replace into audit_logs select id, incident_id, action, 'mallory', details, created_at from audit_logs`,
            ]),
      ];
      for (const sql of statements) expect(await refusal(sql)).toMatch(/immutable|taken/);
      expect(await refusal(`delete from incidents where id = '${id}'`)).toMatch(/foreign key/i);
      if (backend.dialect === 'sqlite')
        expect(await refusal('insert or replace into incidents select * from incidents')).toMatch(/foreign key/i);
      expect(await trailOf(store, id)).toEqual([entry]);
    });

    it('takes the change with it when its entry cannot be written', async () => {
      // R-A1: the audit insert fails, in the database
      const { store, database, backend } = subject();
      const { id } = await store.incidents.create(newIncident());
      const action = await store.actions.propose(newAction(id));
      if (backend.dialect === 'sqlite')
        await database.raw(
          `create trigger broken before insert on audit_logs begin select raise(abort, 'broken'); end`,
        );
      else {
        await database.raw(
          `create function broken() returns trigger language plpgsql as $$ begin raise exception 'broken'; end $$`,
        );
        await database.raw('create trigger broken before insert on audit_logs for each row execute function broken()');
      }
      try {
        const before = await store.incidents.count();
        await expect(store.incidents.create(newIncident())).rejects.toThrow();
        await expect(store.incidents.createMany([newIncident()])).rejects.toThrow();
        await expect(store.incidents.addTags(id, ['x'])).rejects.toThrow();
        await expect(store.incidents.update(id, { severity: 'info' })).rejects.toThrow();
        await expect(store.actions.approve(action.id)).rejects.toThrow();
        await expect(store.approvals.request({ actionId: action.id, approvalLevel: 'senior' })).rejects.toThrow();
        expect(await store.incidents.count()).toBe(before);
        expect(await store.incidents.get(id)).toMatchObject({ tags: [], severity: 'high' });
        expect((await store.actions.get(action.id)).approvalStatus).toBe('pending');
        expect(await store.approvals.count({ actionId: action.id })).toBe(0);
      } finally {
        await database.raw(backend.dialect === 'sqlite' ? 'drop trigger broken' : 'drop function broken cascade');
      }
    });
  },
  SHARED_BACKENDS,
);
