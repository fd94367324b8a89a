import { expect, it } from 'vitest';
import { contract } from '../support/contract.ts';
import { newAction, newIncident, proposed } from '../support/fixtures.ts';

/** By the nearest rank. */
const percentile = (values: readonly number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.ceil(share * values.length) - 1];

contract('statistics', (subject) => {
  it('of incidents: by day, and how long they took to resolve', async () => {
    // R-C11
    const database = await subject().backend.create();
    let now = new Date('2026-01-01T00:00:00.000Z');
    const store = await database.open({ now: () => now });
    expect(await store.incidents.timeToResolve()).toEqual({
      count: 0,
      meanMs: null,
      p50Ms: null,
      p90Ms: null,
      p95Ms: null,
      p99Ms: null,
    });
    const took: number[] = [];
    for (let i = 0; i < 40; i++) {
      now = new Date(Date.UTC(2026, 0, 1 + (i % 3), 23, 59, 59, 999));
      const severity = i % 2 ? 'low' : 'high';
      const { id } = await store.incidents.create(newIncident({ severity, tags: [i < 20 ? 'a' : 'b'] }));
      if (i % 4 === 3) continue; // still open
      const ms = ((i * 7919) % 500) * 1000 + i + 10;
      await store.incidents.transition(id, { from: 'new', to: 'enriching' });
      now = new Date(now.getTime() + ms);
      const to = (['resolved', 'false_positive', 'closed'] as const)[i % 3] ?? 'closed';
      await store.incidents.transition(id, { from: 'enriching', to });
      took.push(ms);
      now = new Date(now.getTime() + 9_999_999); // the first end counts
      await store.incidents.transition(id, { from: to, to: 'escalated' });
      await store.incidents.transition(id, { from: 'escalated', to: 'closed' });
    }
    expect(await store.incidents.statsByDay()).toEqual(
      ['2026-01-01', '2026-01-02', '2026-01-03'].map((day, i) => {
        const of = Array.from({ length: 40 }, (_, n) => n).filter((n) => n % 3 === i);
        const low = of.filter((n) => n % 2).length;
        return { day, total: of.length, bySeverity: { info: 0, low, medium: 0, high: of.length - low, critical: 0 } };
      }),
    );
    expect(await store.incidents.statsByDay({ since: new Date('2026-01-03'), severity: 'info' })).toEqual([]);
    const all = await store.incidents.timeToResolve();
    expect(all).toEqual({
      count: took.length,
      meanMs: expect.closeTo(took.reduce((sum, ms) => sum + ms, 0) / took.length, 3),
      p50Ms: percentile(took, 0.5),
      p90Ms: percentile(took, 0.9),
      p95Ms: percentile(took, 0.95),
      p99Ms: percentile(took, 0.99),
    });
    expect((await store.incidents.timeToResolve({ tag: 'a' })).count).toBe(15);
    expect((await store.incidents.timeToResolve({}, { resolvedSince: new Date('2030-01-01') })).count).toBe(0);
    expect((await store.incidents.timeToResolve({}, { resolvedSince: new Date('2026-01-03') })).count).toBeLessThan(30);
    await database.drop();
  });

  it('of actions, by status and type', async () => {
    const { store } = subject();
    const { id: incidentId } = await store.incidents.create(newIncident());
    const propose = (actionType: string) =>
      store.actions.propose(newAction(incidentId, { actionType, target: 'none' }));
    await store.actions.deny((await propose('block_ip')).id);
    await propose('block_ip');
    await propose('a_type_of_our_own');
    expect(await store.actions.stats({ incidentId })).toEqual({
      total: 3,
      byStatus: { pending: 2, auto_approved: 0, approved: 0, denied: 1, executed: 0, failed: 0 },
      byType: { a_type_of_our_own: 1, block_ip: 2 },
    });
    expect((await store.actions.stats({ incidentId, since: new Date(Date.now() + 60_000) })).total).toBe(0);
  });

  it('of approvals: what waits for a level, and how long its decisions took', async () => {
    const database = await subject().backend.create();
    let now = new Date('2026-01-01T00:00:00.000Z');
    const store = await database.open({ now: () => now });
    const took: number[] = [];
    for (let i = 1; i <= 21; i++) {
      const action = await proposed(store);
      now = new Date(Date.UTC(2026, 0, i));
      const { id } = await store.approvals.request({
        actionId: action.id,
        approvalLevel: i % 7 ? 'senior' : 'manager',
        expiresAt: i === 20 ? new Date(now.getTime() + 5) : null,
      });
      now = new Date(now.getTime() + i * 1111);
      if (i === 20) await store.approvals.expireOverdue();
      else if (i % 7 && i % 2) {
        await store.approvals.decide(id, { decision: i % 3 ? 'approved' : 'denied' });
        took.push(i * 1111);
      }
    }
    const stats = await store.approvals.stats();
    expect(stats.senior).toEqual({
      pending: 8,
      oldestPending: new Date('2026-01-02T00:00:00.000Z'),
      decided: {
        count: took.length,
        meanMs: expect.closeTo(took.reduce((sum, ms) => sum + ms, 0) / took.length, 3),
        p50Ms: percentile(took, 0.5),
        p90Ms: percentile(took, 0.9),
        p95Ms: percentile(took, 0.95),
        p99Ms: percentile(took, 0.99),
      },
    });
    expect(stats.manager).toMatchObject({ pending: 3, decided: { count: 0, meanMs: null, p50Ms: null } });
    expect(stats.executive).toMatchObject({ pending: 0, oldestPending: null });
    expect((await store.approvals.stats({ since: new Date('2026-01-10') })).senior.pending).toBe(4);
    expect((await store.approvals.stats({ until: new Date('2026-01-01') })).senior.pending).toBe(0);
    await database.drop();
  });

  it('of connectors: how they were last seen', async () => {
    const database = await subject().backend.create();
    const store = await database.open();
    const make = () => store.connectors.create({ name: 'c', connectorType: 'own' });
    const at = new Date('2026-01-01T00:00:00.000Z');
    await store.connectors.recordHealthCheck((await make()).id, 'error', at);
    await store.connectors.recordHealthCheck((await make()).id, 'connected', new Date(at.getTime() + 1));
    await store.connectors.setEnabled((await make()).id, false);
    expect(await store.connectors.stats()).toEqual({
      total: 3,
      enabled: 2,
      byStatus: { connected: 1, disconnected: 0, error: 1, unknown: 1 },
      unchecked: 1,
      oldestCheck: at,
    });
    expect((await store.connectors.stats({ status: 'error' })).total).toBe(1);
    if (subject().backend.shared) {
      await database.raw(`update connectors set status = 'degraded' where status = 'error'`); // as another writer may
      await expect(store.connectors.stats()).rejects.toMatchObject({ code: 'decode', column: 'status' });
    }
    await database.drop();
  });

  it('count about how many where exactly would be slow, and say so', async () => {
    const { store, backend, database } = subject();
    await store.incidents.createMany(Array.from({ length: 3000 }, () => newIncident({ severity: 'info' })));
    if (backend.dialect === 'postgres') await database.raw('analyze incidents');
    const exact = await store.incidents.count({ severity: 'info' });
    const about = await store.incidents.count({ severity: 'info' }, { estimate: true });
    expect(about.estimated).toBe(backend.dialect === 'postgres');
    expect(Math.abs(about.count - exact)).toBeLessThanOrEqual(backend.dialect === 'postgres' ? exact / 10 : 0);
    expect((await store.auditLogs.count({}, { estimate: true })).count).toBeGreaterThanOrEqual(0);
    await expect(store.incidents.count({}, { estimated: true } as never)).rejects.toMatchObject({ code: 'validation' });
  });
});
