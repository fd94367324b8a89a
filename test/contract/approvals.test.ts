import { expect, it } from 'vitest';
import { ConflictError, ForbiddenError, NotFoundError, ValidationError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { actionsOf, newAction, newIncident, proposed, trailOf } from '../support/fixtures.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';

contract('approvals', (subject) => {
  it('approve the action with the last of several levels, in any order', async () => {
    // R-A6
    const { store } = subject();
    const { id, incidentId } = await proposed(store);
    const chain = await store
      .as('alice')
      .approvals.requestChain({ actionId: id, levels: ['analyst', 'senior', 'manager'] });
    expect(chain.map(({ approvalLevel, requestedBy, status }) => [approvalLevel, requestedBy, status])).toEqual([
      ['analyst', 'alice', 'pending'],
      ['senior', 'alice', 'pending'],
      ['manager', 'alice', 'pending'],
    ]);
    const status = async () => (await store.actions.get(id)).approvalStatus;
    for (const [i, approval] of [chain[2], chain[0], chain[1]].entries()) {
      expect(await status()).toBe('pending');
      const decided = await store
        .as(`boss-${i}`)
        .approvals.decide(approval?.id ?? '', { decision: 'approved', reason: 'ok' });
      expect(decided).toMatchObject({
        status: 'approved',
        decidedBy: `boss-${i}`,
        decisionReason: 'ok',
        decidedAt: expect.any(Date),
      });
    }
    expect(await store.actions.get(id)).toMatchObject({ approvalStatus: 'approved', approvedBy: 'boss-2' });
    expect((await actionsOf(store, incidentId)).slice(-2)).toEqual(['approval_approved', 'action_approved']);
  });

  it('deny the action with one denial, and let the other requests expire', async () => {
    // R-A6
    const { store } = subject();
    const { id, incidentId } = await proposed(store);
    const [first, second] = await store.approvals.requestChain({ actionId: id, levels: ['senior', 'manager'] });
    await store.as('bob').approvals.decide(first?.id ?? '', { decision: 'denied', reason: 'too risky' });
    expect((await store.actions.get(id)).approvalStatus).toBe('denied');
    expect(await store.approvals.get(second?.id ?? '')).toMatchObject({
      status: 'expired',
      decisionReason: 'the action was denied',
    });
    expect((await actionsOf(store, incidentId)).slice(-3).sort()).toEqual([
      'action_denied',
      'approval_denied',
      'approval_expired',
    ]);
    await expect(store.approvals.decide(second?.id ?? '', { decision: 'approved' })).rejects.toThrow(ConflictError);
  });

  it('are decided once: of several who decide at once, one does', async () => {
    // R-A6
    const { store } = subject();
    const { id, incidentId } = await proposed(store);
    const request = await store.approvals.request({ actionId: id, approvalLevel: 'senior' });
    const results = await Promise.allSettled(
      (['approved', 'denied', 'approved', 'denied'] as const).map((decision, i) =>
        store.as(`boss-${i}`).approvals.decide(request.id, { decision }),
      ),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(ConflictError);
    const trail = (await actionsOf(store, incidentId)).slice(3);
    expect(trail).toHaveLength(2);
    const decided = await store.approvals.get(request.id);
    expect((await store.actions.get(id)).approvalStatus).toBe(decided.status);
  });

  it('approve the action also when the last two are decided at once', async () => {
    // R-A6: each must see the other's decision
    const { store } = subject();
    for (let round = 0; round < 5; round++) {
      const { id } = await proposed(store);
      const chain = await store.approvals.requestChain({ actionId: id, levels: ['senior', 'manager'] });
      await Promise.all(
        chain.map((approval) => store.as('boss').approvals.decide(approval.id, { decision: 'approved' })),
      );
      expect((await store.actions.get(id)).approvalStatus).toBe('approved');
    }
  });

  it('cannot be approved once they have expired, before `expireOverdue` or after', async () => {
    // R-A6
    const own = await subject().backend.create();
    let now = Date.parse('2025-01-01T00:00:00.000Z');
    try {
      const store = await own.open({ now: () => new Date(now) });
      const { id, incidentId } = await proposed(store);
      const expiresAt = new Date(now + 1000);
      const [senior, manager] = await store.approvals.requestChain({
        actionId: id,
        levels: ['senior', 'manager'],
        expiresAt,
      });
      const later = await store.approvals.request({ actionId: id, approvalLevel: 'executive' });
      expect(await store.approvals.expireOverdue()).toBe(0);
      await store.approvals.decide(senior?.id ?? '', { decision: 'approved' });
      now += 1000;
      await expect(store.approvals.decide(manager?.id ?? '', { decision: 'approved' })).rejects.toThrow('expired');
      expect(await store.approvals.expireOverdue()).toBe(1);
      expect(await store.approvals.expireOverdue()).toBe(0);
      expect((await store.approvals.get(manager?.id ?? '')).status).toBe('expired');
      await expect(store.approvals.decide(manager?.id ?? '', { decision: 'approved' })).rejects.toThrow(ConflictError);
      // what expired is missing still: the action is not approved without it
      await store.approvals.decide(later.id, { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe('pending');
      await expect(store.actions.approve(id)).rejects.toThrow(ConflictError);
      const again = await store.approvals.request({ actionId: id, approvalLevel: 'manager' });
      await store.approvals.decide(again.id, { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe('approved');
      const expired = (await trailOf(store, incidentId)).filter(({ action }) => action === 'approval_expired');
      expect(expired).toMatchObject([{ details: { approval_id: manager?.id, action_id: id } }]);
    } finally {
      await own.drop();
    }
  });

  it('do not expire before their time where another writer spelled it', async () => {
    // R-C7
    const { backend } = subject();
    if (!backend.shared) return;
    const own = await backend.create();
    const now = new Date('2026-08-01T10:00:00.000Z');
    const store = await own.open({ now: () => now });
    const { id } = await proposed(store);
    const chain = await store.approvals.requestChain({ actionId: id, levels: ['senior', 'manager'] });
    await own.raw(
      `update approvals set expires_at = '2026-08-01 18:00:00${backend.dialect === 'sqlite' ? '' : '+00'}'`,
    );
    for (const { id: one } of chain) await store.approvals.decide(one, { decision: 'approved' });
    expect((await store.actions.get(id)).approvalStatus).toBe('approved');
    const late = await store.approvals.request({ actionId: (await proposed(store)).id, approvalLevel: 'senior' });
    await own.raw(
      `update approvals set expires_at = '2026-08-01 09:59:59${backend.dialect === 'sqlite' ? '' : '+00'}' where id = '${late.id}'`,
    );
    expect(await store.approvals.expireOverdue()).toBe(1);
    await own.drop();
  });

  it('that are overdue do not hold the action back once they were made again and granted', async () => {
    // R-A6: before expireOverdue() has run
    const own = await subject().backend.create();
    let now = Date.parse('2025-01-01T00:00:00.000Z');
    try {
      const store = await own.open({ now: () => new Date(now) });
      const { id } = await proposed(store);
      await store.approvals.request({ actionId: id, approvalLevel: 'senior', expiresAt: new Date(now + 1000) });
      now += 2000;
      const again = await store.approvals.request({ actionId: id, approvalLevel: 'senior' });
      await store.approvals.decide(again.id, { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe('approved');
    } finally {
      await own.drop();
    }
  });

  it('of two who must agree are two also when they are made again', async () => {
    // R-A6
    const own = await subject().backend.create();
    let now = Date.parse('2025-01-01T00:00:00.000Z');
    const store = await own.open({ now: () => new Date(now) });
    const { id } = await proposed(store);
    await store.approvals.requestChain({ actionId: id, levels: ['senior', 'senior'], expiresAt: new Date(now + 1000) });
    now += 2000;
    expect(await store.approvals.expireOverdue()).toBe(2);
    for (const [by, status] of [
      ['bob', 'pending'],
      ['carol', 'approved'],
    ] as const) {
      const again = await store.approvals.request({ actionId: id, approvalLevel: 'senior' });
      await store.as(by).approvals.decide(again.id, { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe(status);
    }
    await own.drop();
  });

  it('expire by the hundreds, each with its audit entry', async () => {
    const own = await subject().backend.create();
    try {
      const store = await own.open();
      const { incidentId } = await proposed(store);
      const expiresAt = new Date(Date.now() - 1000);
      for (let i = 0; i < 23; i++)
        await store.approvals.requestChain({
          actionId: (await store.actions.propose(newAction(incidentId))).id,
          levels: Array.from({ length: 20 }, () => 'analyst' as const),
          expiresAt,
        });
      expect(await store.approvals.expireOverdue()).toBe(460);
      expect(await store.auditLogs.count({ incidentId, action: 'approval_expired' })).toBe(460);
    } finally {
      await own.drop();
    }
  });

  it('cannot be decided by who requested them, with four-eyes on', async () => {
    // R-A6
    const own = await subject().backend.create();
    try {
      const store = await own.open({ fourEyes: true });
      const { id } = await proposed(store);
      const request = await store.as('Alice').approvals.request({ actionId: id, approvalLevel: 'senior' });
      for (const actor of ['Alice', 'alice'])
        for (const decision of ['approved', 'denied'] as const)
          await expect(store.as(actor).approvals.decide(request.id, { decision })).rejects.toThrow(ForbiddenError);
      const inAnothersName = { actionId: id, approvalLevel: 'senior', requestedBy: 'bob' } as const;
      await expect(store.as('Alice').approvals.request(inAnothersName)).rejects.toThrow(ValidationError);
      await store.as('bob').approvals.decide(request.id, { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe('approved');
    } finally {
      await own.drop();
    }
  });

  it('take two people on every path, with four-eyes on', async () => {
    // F-B1
    const own = await subject().backend.create();
    try {
      const store = await own.open({ fourEyes: true });
      const [alice, bob, carol] = [store.as('alice'), store.as('bob'), store.as('carol')];
      const request = (by: Pick<typeof store, 'approvals'>, actionId: string) =>
        by.approvals.request({ actionId, approvalLevel: 'senior' });
      const proposal = await proposed(alice);
      // alone
      for (const name of ['alice', 'ALICE', 'ａｌｉｃｅ', 'al\u200bice', ' alice', 'alice\u00ad', 'alice\u2800']) {
        const same = store.as(name.trim());
        await expect(same.actions.approve(proposal.id)).rejects.toThrow(ForbiddenError);
        await expect(same.actions.autoApprove(proposal.id)).rejects.toThrow(ForbiddenError);
      }
      // the other requests, and the proposer decides
      const { id: requested } = await request(bob, proposal.id);
      await expect(alice.approvals.decide(requested, { decision: 'approved' })).rejects.toThrow(ForbiddenError);
      await expect(bob.approvals.decide(requested, { decision: 'approved' })).rejects.toThrow(ForbiddenError);
      expect((await store.actions.get(proposal.id)).approvalStatus).toBe('pending');
      await carol.approvals.decide(requested, { decision: 'approved' });
      expect((await store.actions.get(proposal.id)).approvalStatus).toBe('approved');
      // all levels by one
      const chained = await proposed(alice);
      const levels = ['analyst', 'senior', 'senior'] as const;
      const chain = await alice.approvals.requestChain({ actionId: chained.id, levels });
      const ids = chain.map(({ id }) => id) as [string, string, string];
      await bob.approvals.decide(ids[0], { decision: 'approved' });
      await expect(bob.approvals.decide(ids[1], { decision: 'approved' })).rejects.toThrow(ForbiddenError);
      await carol.approvals.decide(ids[1], { decision: 'approved' });
      await expect(store.as('Bob').approvals.decide(ids[2], { decision: 'approved' })).rejects.toThrow(ForbiddenError);
      await store.as('dave').approvals.decide(ids[2], { decision: 'approved' });
      expect((await store.actions.get(chained.id)).approvalStatus).toBe('approved');
      // by a policy of its own, by another one, and a proposer who takes it back
      const policy = store.as('policy:low-risk');
      expect((await policy.actions.autoApprove((await proposed(alice)).id)).approvalStatus).toBe('auto_approved');
      expect((await bob.actions.approve((await proposed(alice)).id)).approvalStatus).toBe('approved');
      expect((await alice.actions.deny((await proposed(alice)).id)).approvalStatus).toBe('denied');
      // a proposer who tries to pass for another one
      const { id: incidentId } = await store.incidents.create(newIncident());
      const id = '01890000-0000-7000-8000-00000000b001';
      const forged = { incidentId, action: 'action_proposed', details: { action_id: id } } as const;
      await store.as('mallory').auditLogs.append(forged);
      await alice.actions.propose(newAction(incidentId, { id }));
      await store.as('somebody').auditLogs.append(forged);
      await expect(alice.actions.approve(id)).rejects.toThrow(ForbiddenError);
      // names that are two people's
      const spaced = await proposed(store.as('Ann Li'));
      expect((await store.as('Annli').actions.approve(spaced.id)).approvalStatus).toBe('approved');
      for (const [one, other] of [
        ['Νίκος', 'ΝΊΚΟΣ'],
        ['Straße', 'STRASSE'],
      ] as const)
        await expect(store.as(other).actions.approve((await proposed(store.as(one))).id)).rejects.toThrow(
          ForbiddenError,
        );
    } finally {
      await own.drop();
    }
  });

  it('are not passed by: an action with undecided requests is approved through them only', async () => {
    const { store } = subject();
    const { id } = await proposed(store);
    const request = await store.approvals.request({ actionId: id, approvalLevel: 'senior' });
    await expect(store.actions.approve(id)).rejects.toThrow(ConflictError);
    await expect(store.actions.autoApprove(id)).rejects.toThrow(ConflictError);
    await store.actions.deny(id);
    expect((await store.approvals.get(request.id)).status).toBe('expired');
  });

  it('are requested of pending actions only', async () => {
    const { store } = subject();
    const { id } = await proposed(store);
    await store.actions.approve(id);
    await expect(store.approvals.request({ actionId: id, approvalLevel: 'senior' })).rejects.toThrow(ConflictError);
    await expect(store.approvals.request({ actionId: NOBODY, approvalLevel: 'senior' })).rejects.toThrow(NotFoundError);
    await expect(store.approvals.request({ actionId: id, approvalLevel: 'ceo' as never })).rejects.toThrow(
      ValidationError,
    );
    await expect(store.approvals.decide(NOBODY, { decision: 'approved' })).rejects.toThrow(NotFoundError);
  });
});

contract(
  'approvals of actions that other programs wrote',
  (subject) => {
    it('are refused where the trail does not say who proposed, with four-eyes on', async () => {
      // F-B1: rows that others wrote
      const own = await subject().backend.create();
      try {
        const store = await own.open({ fourEyes: true });
        const { id: incidentId } = await store.incidents.create(newIncident());
        const id = '01890000-0000-7000-8000-00000000b002';
        await own.raw(
          `insert into actions (id, incident_id, action_type, target, parameters, reason, priority, approval_status, created_at) values ('${id}', '${incidentId}', 'block_ip', '"none"', '{}', 'r', 1, 'pending', '2026-01-01T00:00:00.000Z')`,
        );
        await expect(store.as('bob').actions.approve(id)).rejects.toMatchObject({
          code: 'forbidden',
          reason: expect.stringContaining('does not say who proposed it'),
        });
        const { id: requested } = await store.as('ann').approvals.request({ actionId: id, approvalLevel: 'senior' });
        await expect(store.as('bob').approvals.decide(requested, { decision: 'approved' })).rejects.toThrow(
          ForbiddenError,
        );
        expect((await store.as('bob').actions.deny(id)).approvalStatus).toBe('denied');
      } finally {
        await own.drop();
      }
    });
  },
  SHARED_BACKENDS,
);
