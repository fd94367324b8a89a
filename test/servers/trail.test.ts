/** F-A1: trails written by processes whose clocks are an hour apart. Needs Debian's faketime. */
import { describe, expect, it } from 'vitest';
import { runChildAt } from '../support/child.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newIncident, proposed } from '../support/fixtures.ts';
import { expectChain } from '../support/trail.ts';

describe.each(SHARED_BACKENDS)('clocks that differ · $name', (backend) => {
  it('leave trails that are chains: 3 processes × 8 writers × 200 changes', async () => {
    const database = await backend.create();
    const store = await database.open();
    const ids = await store.incidents.createMany(Array.from({ length: 12 }, () => newIncident()));
    const children = ['+0', '+1h', '-1h'].map((offset, i) =>
      runChildAt(offset, 'change.mjs', database.url, String(i), '8', '200', ...ids),
    );
    const clocks = (await Promise.all(children.map(({ done }) => done))).map(
      (output) => (JSON.parse(output) as { readonly now: number }).now,
    );
    expect(Math.max(...clocks) - Math.min(...clocks)).toBeGreaterThan(7_000_000); // they were off indeed
    let changes = 0;
    for (const id of ids) changes += await expectChain(store, id);
    expect(changes).toBeGreaterThan(3 * 8 * 100);
    await database.drop();
  }, 300_000);

  it.runIf(backend.dialect === 'postgres')(
    'end no lease and no request before its time: the server’s counts',
    async () => {
      // F-B3
      const database = await backend.create();
      const store = await database.open();
      const { id } = await proposed(store);
      await store.actions.approve(id);
      const asked = await proposed(store);
      await store.approvals.request({
        actionId: asked.id,
        approvalLevel: 'senior',
        expiresAt: new Date(Date.now() + 1_800_000),
      });
      const [claimed] = await store.actions.claim({ worker: 'a', leaseMs: 600_000 });
      expect(claimed?.id).toBe(id);
      const ahead = await runChildAt('+1h', 'expire.mjs', database.url).done;
      expect(JSON.parse(ahead)).toMatchObject({ claimed: [], ready: [], expired: 0 });
      await store.actions.complete(id, { lease: claimed?.lease.token });
      await database.drop();
    },
  );
});
