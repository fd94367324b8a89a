/** F-B2: whatever is asked, granted and left to expire, in any order: no action is approved with something missing, and none is left that nothing can settle. */
import { expect, it } from 'vitest';
import { APPROVAL_LEVELS, type ApprovalLevel, ConflictError } from '../../src/index.ts';
import type { Store } from '../../src/store.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { proposed } from '../support/fixtures.ts';

/** Numbers from 0 to 1 that are the same for the same seed: mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const approve = (store: Store, by: string, id: string | undefined) =>
  store.as(by).approvals.decide(id ?? '', { decision: 'approved' });

interface Call {
  readonly level: ApprovalLevel;
  readonly ids: readonly string[];
}

contract('approvals, in any sequence', (subject) => {
  it('approve with nothing missing, and leave no action that nothing can settle', async () => {
    const { backend } = subject();
    const database = await backend.create();
    let now = Date.parse('2026-01-01T00:00:00.000Z');
    const store = await database.open({ now: () => new Date(now) });
    const statuses = new Set<string>();
    for (let seed = 1; seed <= (backend.dialect === 'sqlite' ? 60 : 20); seed++) {
      const next = random(seed);
      const pick = <T>(items: readonly T[]) => items[Math.floor(next() * items.length)] as T;
      const { id: actionId } = await proposed(store);
      const calls: Call[] = [];
      const person = () => store.as(`person-${Math.floor(next() * 1e9)}`);
      const isPending = async () => (await store.actions.get(actionId)).approvalStatus === 'pending';
      for (let step = 0; step < 14 && (await isPending()); step++) {
        const what = next();
        if (what < 0.35) {
          const levels = Array.from({ length: 1 + Math.floor(next() * 3) }, () => pick(APPROVAL_LEVELS.slice(0, 2)));
          const expiresAt = next() < 0.6 ? new Date(now + Math.floor(next() * 50)) : null;
          const made = await person().approvals.requestChain({ actionId, levels, expiresAt });
          for (const level of new Set(levels))
            calls.push({
              level,
              ids: made.filter(({ approvalLevel }) => approvalLevel === level).map(({ id }) => id),
            });
        } else if (what < 0.7 && calls.length) {
          const id = pick(calls.flatMap(({ ids }) => ids));
          await person()
            .approvals.decide(id, { decision: next() < 0.93 ? 'approved' : 'denied' })
            .catch((error) => expect(error).toBeInstanceOf(ConflictError));
        } else if (what < 0.9)
          now += Math.floor(next() * 60) - 20; // a clock that stands still, and steps back
        else await store.approvals.expireOverdue();
      }
      await expectSound(store, actionId, calls, `seed ${seed}`);
      if (await isPending()) {
        // all that was ever asked, once more
        const levels = [...new Set(calls.map(({ level }) => level))].flatMap((level) =>
          Array.from(
            { length: Math.max(...calls.filter((call) => call.level === level).map(({ ids }) => ids.length)) },
            () => level,
          ),
        );
        const chain = levels.length ? await store.approvals.requestChain({ actionId, levels }) : [];
        for (const { id } of chain) await person().approvals.decide(id, { decision: 'approved' });
        if (!chain.length) await store.actions.approve(actionId);
        expect((await store.actions.get(actionId)).approvalStatus, `seed ${seed}`).toBe('approved');
      }
      const left = await store.approvals.count({ actionId, status: 'pending' });
      expect(left, `seed ${seed}`).toBe(0);
      statuses.add((await store.actions.get(actionId)).approvalStatus);
    }
    expect(statuses).toEqual(new Set(['approved', 'denied']));
    await database.drop();
  }, 120_000);
});

contract('approvals that are made again', (subject) => {
  const opened = async () => {
    const database = await subject().backend.create();
    return { database, store: await database.open({ fourEyes: true }) };
  };
  it('lower no quorum', async () => {
    const { database, store } = await opened();
    const { id: actionId } = await proposed(store.as('alice'));
    await store.as('alice').approvals.requestChain({ actionId, levels: ['senior', 'senior'] });
    const again = await store.as('alice').approvals.request({ actionId, approvalLevel: 'senior' });
    await approve(store, 'bob', again.id);
    expect((await store.actions.get(actionId)).approvalStatus).toBe('pending');
    const second = await store.as('alice').approvals.request({ actionId, approvalLevel: 'senior' });
    await approve(store, 'bob', second.id); // the same person once more
    expect((await store.actions.get(actionId)).approvalStatus).toBe('pending');
    const third = await store.as('alice').approvals.request({ actionId, approvalLevel: 'senior' });
    await approve(store, 'carol', third.id);
    expect((await store.actions.get(actionId)).approvalStatus).toBe('approved');
    await database.drop();
  });

  it('may be granted again by who granted the earlier one', async () => {
    const { database, store } = await opened();
    const { id: actionId } = await proposed(store.as('alice'));
    const [analyst, manager] = await store
      .as('alice')
      .approvals.requestChain({ actionId, levels: ['analyst', 'manager'] });
    await approve(store, 'bob', analyst?.id);
    const again = await store.as('alice').approvals.request({ actionId, approvalLevel: 'analyst' });
    await approve(store, 'mary', manager?.id);
    expect((await store.actions.get(actionId)).approvalStatus).toBe('pending');
    await approve(store, 'bob', again.id);
    expect((await store.actions.get(actionId)).approvalStatus).toBe('approved');
    await database.drop();
  });
});

/** Of an action that is approved, each level’s latest call was granted, and nothing of it was denied. */
async function expectSound(store: Store, actionId: string, calls: readonly Call[], seed: string): Promise<void> {
  const { approvalStatus } = await store.actions.get(actionId);
  if (approvalStatus !== 'approved') return;
  for (const level of new Set(calls.map((call) => call.level))) {
    const { ids } = calls.findLast((call) => call.level === level) as Call;
    const decided = await Promise.all(ids.map((id) => store.approvals.get(id)));
    expect(
      decided.some(({ status }) => status === 'approved'),
      seed,
    ).toBe(true);
    expect(
      decided.every(({ status }) => status !== 'denied'),
      seed,
    ).toBe(true);
  }
}

contract(
  'approvals that version 0.1.0 left',
  (subject) => {
    const twoOpen = async (statuses: readonly [string, string], expires: boolean) => {
      const { store, database } = subject();
      const { id, incidentId } = await proposed(store);
      const ids = [crypto.randomUUID(), crypto.randomUUID()] as const;
      for (const [i, status] of statuses.entries())
        await database.raw(
          `insert into approvals (id, action_id, incident_id, approval_level, status, requested_by, requested_at, decided_by, expires_at) values ('${ids[i]}', '${id}', '${incidentId}', 'senior', '${status}', 'ann', '2026-01-01T00:00:0${i}.000Z', ${status === 'pending' ? 'null' : "'bob'"}, ${expires ? "'2026-01-01T01:00:00.000Z'" : 'null'})`,
        );
      return { store, id, ids };
    };

    it('are decided by the later one of two that are open', async () => {
      const { store, id, ids } = await twoOpen(['pending', 'pending'], false);
      await store.approvals.decide(ids[0], { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe('pending');
      await store.approvals.decide(ids[1], { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe('approved');
      const other = await twoOpen(['pending', 'pending'], false);
      await store.approvals.decide(other.ids[1], { decision: 'approved' });
      expect((await store.actions.get(other.id)).approvalStatus).toBe('approved');
      expect((await store.approvals.get(other.ids[0])).status).toBe('expired');
    });

    it('approve the action when the earlier one expires, or is expired, and the later one was granted', async () => {
      const { store, id } = await twoOpen(['pending', 'approved'], true);
      expect(await store.approvals.expireOverdue()).toBe(1);
      expect((await store.actions.get(id)).approvalStatus).toBe('approved');
      const stuck = await twoOpen(['expired', 'approved'], true);
      expect((await store.as('bob').actions.approve(stuck.id)).approvalStatus).toBe('approved');
    });

    it('approve in the name of who granted, whoever lets the rest expire', async () => {
      const database = await subject().backend.create();
      const store = await database.open({ fourEyes: true });
      const { id: actionId, incidentId } = await proposed(store.as('alice'));
      const first = await store.as('alice').approvals.request({ actionId, approvalLevel: 'senior' });
      const late = crypto.randomUUID();
      await approve(store, 'bob', first.id);
      // as 0.1.0 left it: an earlier one still open, and the action with it
      await database.raw(`update actions set approval_status = 'pending', approved_by = null where id = '${actionId}'`);
      await database.raw(
        `insert into approvals (id, action_id, incident_id, approval_level, status, requested_by, requested_at, expires_at) values ('${late}', '${actionId}', '${incidentId}', 'senior', 'pending', 'alice', '2020-01-01T00:00:00.000Z', '2020-01-02T00:00:00.000Z')`,
      );
      expect(await store.as('alice').approvals.expireOverdue()).toBe(1);
      expect(await store.actions.get(actionId)).toMatchObject({ approvalStatus: 'approved', approvedBy: 'bob' });
      await database.drop();
    });

    it('stay pending where the later one expired, until it is made again', async () => {
      const { store, id } = await twoOpen(['approved', 'expired'], true);
      await expect(store.actions.approve(id)).rejects.toBeInstanceOf(ConflictError);
      const again = await store.approvals.request({ actionId: id, approvalLevel: 'senior' });
      await store.as('carol').approvals.decide(again.id, { decision: 'approved' });
      expect((await store.actions.get(id)).approvalStatus).toBe('approved');
    });
  },
  SHARED_BACKENDS,
);

contract(
  'approvals in transactions of a higher isolation',
  (subject) => {
    it('are decided by what is there when they are locked, in a transaction of any isolation', async () => {
      const database = await subject().backend.create();
      const store = await database.open({ fourEyes: true });
      const other = await database.open({ fourEyes: true });
      for (const isolation of ['repeatable read', 'serializable'] as const) {
        const { id: actionId } = await proposed(store.as('alice'));
        const [one, two, three] = await store
          .as('alice')
          .approvals.requestChain({ actionId, levels: ['analyst', 'senior', 'manager'] });
        const attempt = store.as('bob').transaction(
          async (tx) => {
            await tx.approvals.get(two?.id ?? '');
            await approve(other, 'bob', one?.id); // outside of it
            await tx.approvals.decide(two?.id ?? '', { decision: 'approved' });
          },
          { isolation },
        );
        await expect(attempt).rejects.toMatchObject({ code: 'serialization' });
        expect((await store.approvals.get(two?.id ?? '')).status).toBe('pending');
        await approve(store, 'carol', two?.id);
        await approve(store, 'dave', three?.id);
        expect((await store.actions.get(actionId)).approvalStatus).toBe('approved');
      }
      await database.drop();
    });
  },
  SHARED_BACKENDS.filter(({ dialect }) => dialect === 'postgres'), // SQLite's are always serializable
);
