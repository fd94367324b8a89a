import { expect, it } from 'vitest';
import { z } from 'zod';
import { ConflictError, ForeignKeyError, leaseOf, NotFoundError, ValidationError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { newAction, newIncident, proposed, trailOf } from '../support/fixtures.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';

/** As an older version of a service has left it. */
async function rewrite(store: object, id: string, target: string) {
  const { driver, dialect } = Reflect.get(store, 'cx');
  const json = dialect.name === 'sqlite' ? `'${target}'` : `'${target}'::jsonb`;
  await driver.exec({ sql: `update actions set target = ${json} where id = '${id}'`, params: [], reads: false });
}

contract('actions', (subject) => {
  it('are proposed pending, with their defaults', async () => {
    const { store } = subject();
    const action = await proposed(store);
    expect(action).toMatchObject({
      approvalStatus: 'pending',
      priority: 50,
      parameters: {},
      approvedBy: null,
      result: null,
      executedAt: null,
    });
    expect(await store.actions.get(action.id)).toEqual(action);
    await expect(store.actions.propose(newAction(NOBODY))).rejects.toBeInstanceOf(ForeignKeyError);
    for (const bad of [
      { priority: 0 },
      { priority: 101 },
      { target: { host: {} } },
      { reason: 'a\0' },
      { actionType: '' },
    ])
      await expect(store.actions.propose(newAction(action.incidentId, bad as never))).rejects.toThrow(ValidationError);
  });

  it.each([
    'none',
    { host: { hostname: 'h', ip: null } },
    { user: { username: 'u' } },
    { ip_address: '192.0.2.1' },
    { domain: 'example.com' },
    { email: { message_id: 'm' } },
    { ticket: { ticket_id: 't' } },
    { pod: { name: 'p' } },
  ] as const)('take the target %j', async (target) => {
    const { store } = subject();
    expect((await store.actions.get((await proposed(store, { target })).id)).target).toEqual(target);
  });

  it('move only where they may, and say who moved them', async () => {
    const store = subject().store.as('alice');
    const moves = {
      approve: (id: string) => store.actions.approve(id),
      autoApprove: (id: string) => store.actions.autoApprove(id),
      deny: (id: string) => store.actions.deny(id, { reason: 'no' }),
      complete: (id: string) => store.actions.complete(id),
      fail: (id: string) => store.actions.fail(id),
    };
    type Move = keyof typeof moves;
    const allowed: Record<string, readonly Move[]> = {
      pending: ['approve', 'autoApprove', 'deny'],
      approved: ['complete', 'fail'],
      auto_approved: ['complete', 'fail'],
      denied: [],
      executed: [],
      failed: [],
    };
    const reach: Record<string, readonly Move[]> = {
      pending: [],
      approved: ['approve'],
      auto_approved: ['autoApprove'],
      denied: ['deny'],
      executed: ['approve', 'complete'],
      failed: ['autoApprove', 'fail'],
    };
    for (const [status, path] of Object.entries(reach))
      for (const move of Object.keys(moves) as Move[]) {
        const { id } = await proposed(store);
        for (const step of path) await moves[step](id);
        expect((await store.actions.get(id)).approvalStatus).toBe(status);
        if (allowed[status]?.includes(move)) await moves[move](id);
        else await expect(moves[move](id)).rejects.toThrow(ConflictError);
      }
    for (const move of Object.values(moves)) await expect(move(NOBODY)).rejects.toThrow(NotFoundError);
    const { id } = await proposed(store);
    const approved = await store.actions.approve(id);
    expect(approved).toMatchObject({ approvedBy: 'alice', approvalTimestamp: expect.any(Date) });
    const executed = await store.actions.complete(id, { result: { ok: true } });
    expect(executed).toMatchObject({ result: { ok: true }, executedAt: expect.any(Date) });
  });

  it('are ready in the order of their priority, the lower the sooner, then the older', async () => {
    const own = await subject().backend.create();
    try {
      const store = await own.open();
      const ids: Record<string, string> = {};
      for (const [name, priority] of Object.entries({ late: 90, first: 10, old: 50, young: 50, denied: 1 })) {
        ids[name] = (await proposed(store, { priority })).id;
        await (name === 'denied' ? store.actions.deny(ids[name]) : store.actions.approve(ids[name]));
      }
      const order = [ids.first, ids.old, ids.young, ids.late];
      expect((await store.actions.listReady()).map(({ id }) => id)).toEqual(order);
      expect((await store.actions.listReady({ limit: 2 })).map(({ id }) => id)).toEqual(order.slice(0, 2));
      const claimed = await store.actions.claim({ worker: 'w', limit: 3 });
      expect(claimed.map(({ id }) => id)).toEqual(order.slice(0, 3));
      expect((await store.actions.listReady()).map(({ id }) => id)).toEqual([ids.late]);
    } finally {
      await own.drop();
    }
  });

  it('are handed to one worker only: 8 workers, none twice', async () => {
    // R-A7 (1,000 actions and real processes: test/processes/claim.test.ts)
    const own = await subject().backend.create();
    try {
      const store = await own.open();
      const { id: incidentId } = await store.incidents.create(newIncident());
      for (let i = 0; i < 120; i++)
        await store.actions.approve((await store.actions.propose(newAction(incidentId))).id);
      const taken: string[] = [];
      await Promise.all(
        Array.from({ length: 8 }, async (_, worker) => {
          for (let turn = 0; turn < 120; turn++) {
            const claimed = await store.actions.claim({ worker: `w${worker}`, limit: 7 });
            if (!claimed.length) return;
            taken.push(...claimed.map(({ id }) => id));
          }
        }),
      );
      expect(taken).toHaveLength(120);
      expect(new Set(taken).size).toBe(120);
      expect(await store.auditLogs.count({ action: 'action_claimed' })).toBe(120);
    } finally {
      await own.drop();
    }
  });

  it('can be taken over when a lease has ended, and then the old one is worth nothing', async () => {
    // R-A7
    const own = await subject().backend.create();
    let now = Date.parse('2025-01-01T00:00:00.000Z');
    try {
      const store = await own.open({ now: () => new Date(now) });
      const { id } = await proposed(store);
      await store.actions.approve(id);
      const [first] = await store.actions.claim({ worker: 'a', leaseMs: 1000 });
      expect(await store.actions.claim({ worker: 'b' })).toEqual([]);
      now += 999;
      expect(await store.actions.claim({ worker: 'b' })).toEqual([]);
      now += 1;
      const [second] = await store.actions.claim({ worker: 'b', leaseMs: 1000 });
      if (!first || !second) throw new Error('Both claimed it');
      expect(second.lease.token).not.toBe(first.lease.token);
      await expect(store.actions.complete(id, { lease: first.lease.token })).rejects.toThrow(ConflictError);
      await expect(store.actions.complete(id)).rejects.toThrow(ConflictError);
      await expect(store.actions.renew(id, first.lease)).rejects.toThrow(ConflictError);
      await expect(store.actions.release(id, first.lease)).rejects.toThrow(ConflictError);
      const renewed = await store.actions.renew(id, second.lease, { leaseMs: 5000 });
      expect(leaseOf(await store.actions.get(id))).toEqual(renewed.lease);
      now += 4999;
      expect(await store.actions.claim({ worker: 'c' })).toEqual([]);
      await store.actions.release(id, renewed.lease);
      const [third] = await store.actions.claim({ worker: 'c' });
      const done = await store.actions.complete(id, { lease: third?.lease.token, result: null });
      expect(done).toMatchObject({ approvalStatus: 'executed', result: null });
      expect((await trailOf(store, done.incidentId)).map(({ action }) => action).slice(-5)).toEqual([
        'action_claimed',
        'action_lease_renewed',
        'action_released',
        'action_claimed',
        'action_executed',
      ]);
      expect(leaseOf(done)).toBeNull();
    } finally {
      await own.drop();
    }
  });

  it('are leased from the instant of their entry on, by the clock of the store', async () => {
    // F-B3
    const { store } = subject();
    const { id, incidentId } = await proposed(store);
    await store.actions.approve(id);
    const before = Date.now();
    let claimed: Awaited<ReturnType<typeof store.actions.claim>>[number] | undefined;
    for (let i = 0; !claimed && i < 50; i++)
      claimed = (await store.actions.claim({ worker: 'w "1" \ue0f0', limit: 200, leaseMs: 600_000 })).find(
        (action) => action.id === id,
      );
    if (!claimed) throw new Error('It was ready');
    const until = Date.parse(claimed.lease.until);
    expect(claimed.lease.worker).toBe('w "1" \ue0f0');
    expect(until).toBeGreaterThanOrEqual(before + 600_000 - 5_000);
    expect(until).toBeLessThan(Date.now() + 600_000 + 5_000);
    const [entry] = (await trailOf(store, incidentId)).slice(-1);
    expect(entry).toMatchObject({
      details: { action_id: id, worker: claimed.lease.worker, until: claimed.lease.until },
    });
    expect(Date.parse(claimed.lease.until) - 600_000).toBe(entry?.createdAt.getTime());
    expect((await store.actions.listReady({ limit: 200 })).map((action) => action.id)).not.toContain(id);
    const renewed = await store.actions.renew(id, claimed.lease, { leaseMs: 1 });
    expect(renewed.lease).toMatchObject({ worker: claimed.lease.worker, token: claimed.lease.token });
    await expect
      .poll(async () => (await store.actions.listReady({ limit: 200 })).map((one) => one.id), { timeout: 25_000 })
      .toContain(id);
    await store.actions.complete(id, { lease: renewed.lease.token });
  });

  it('refuse a claim that makes no sense', async () => {
    const { store } = subject();
    await expect(store.actions.claim({ worker: '' })).rejects.toThrow(ValidationError);
    await expect(store.actions.claim({ worker: 'w', leaseMs: 0 })).rejects.toThrow(ValidationError);
    await expect(store.actions.complete(NOBODY, { lease: 'x' })).rejects.toThrow(ValidationError);
  });

  it('that cannot be read stand in nobody’s way, and are told', async () => {
    const own = await subject().backend.create();
    const store = await own.open({ json: { actions: { target: z.looseObject({ domain: z.string() }) } } });
    const { id: incidentId } = await store.incidents.create(newIncident());
    const ready = async (priority: number, target: object) => {
      const { id } = await store.primary.actions.propose(newAction(incidentId, { priority, target: { domain: 'x' } }));
      await store.actions.approve(id);
      const json = JSON.stringify(target);
      await rewrite(store, id, json);
      return id;
    };
    const bad = await ready(1, { user: 'x' });
    const good = [await ready(2, { domain: '1' }), await ready(3, { domain: '2' }), await ready(4, { domain: '3' })];
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const claimed = await store.actions.claim({ worker: 'w', limit: 3, leaseMs: 1000 });
    expect(claimed.map(({ id }) => id)).toEqual(good.slice(0, 2));
    expect((await warned).message).toContain(bad);
    expect((await store.actions.claim({ worker: 'w', limit: 3 })).map(({ id }) => id)).toEqual(good.slice(2));
    const alone = await ready(1, { user: 'y' });
    await expect(store.actions.claim({ worker: 'w', limit: 3 })).rejects.toMatchObject({ code: 'decode', id: alone });
    expect(await store.actions.claim({ worker: 'w', limit: 3 })).toEqual([]);
    await own.drop();
  });
});
