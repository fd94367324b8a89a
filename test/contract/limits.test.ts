/** F-H2, F-C8: no call waits without an end, and what was given up can do nothing any more. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { contract } from '../support/contract.ts';
import type { Options } from '../support/databases.ts';
import { newIncident } from '../support/fixtures.ts';
import { gate } from '../support/gate.ts';
import { settled } from '../support/settled.ts';

const never = new Promise<never>(() => {});

contract('limits', (subject) => {
  const other = (options: Options) => subject().database.open(options);

  it('a transaction ends by its timeoutMs though its callback does not, and what that does later is refused', async () => {
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident());
    const late: Promise<unknown>[] = [];
    const givenUp = gate();
    const error = await settled(
      store.transaction(
        async (tx) => {
          await tx.incidents.addTags(id, ['given up']);
          late.push(
            givenUp.opened.then(() => settled(tx.incidents.addTags(id, ['late']))),
            settled(
              tx.transaction(async (inner) => {
                await inner.incidents.addTags(id, ['nested']);
                await givenUp.opened;
                await inner.incidents.addTags(id, ['late and nested']);
              }),
            ),
          );
          await never;
        },
        { timeoutMs: 1_000 },
      ),
    );
    givenUp.open();
    expect(error).toMatchObject({ code: 'timeout', reason: 'transaction', outcome: 'rolled_back', retryable: true });
    // the next one is not disturbed by the one that was given up, which goes on meanwhile
    await store.transaction(async (tx) => {
      await tx.incidents.addTags(id, ['next']);
      await Promise.all(late);
      await tx.incidents.addTags(id, ['and last']);
    });
    for (const refused of await Promise.all(late)) expect(refused).toMatchObject({ code: 'transaction_scope' });
    expect((await store.incidents.get(id)).tags).toEqual(['next', 'and last']);
  });

  it('a transaction has the limit of its store, unless it is given one', async () => {
    const { backend } = subject();
    const store = backend.shared ? await other({ transactionTimeoutMs: 150 }) : undefined;
    if (store) expect(await settled(store.transaction(() => never))).toMatchObject({ code: 'timeout' });
    await expect(subject().store.transaction(async () => {}, { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'validation',
    });
    await store?.close();
  });

  it('what waits for its turn too long is not done later', async () => {
    const { backend, store: own } = subject();
    const store = backend.shared
      ? await other({ acquireTimeoutMs: 200, ...(backend.dialect === 'postgres' ? { poolSize: 1 } : {}) })
      : own;
    if (store === own) return expect(backend.shared).toBe(false); // its limit is 30 s: the file shows the same code
    const { id } = await store.incidents.create(newIncident());
    await store.incidents.addTags(id, ['kept']);
    const free = gate();
    const holding = store.transaction(() => free.opened);
    const errors = await Promise.all([
      settled(store.incidents.addTags(id, ['late'])),
      settled(store.transaction((tx) => tx.incidents.addTags(id, ['late, too']))),
      settled(store.incidents.createMany([newIncident({ tags: ['late, three'] })])),
    ]);
    for (const error of errors)
      expect(error).toMatchObject({ code: 'busy', reason: 'acquire_timeout', outcome: 'not_sent', retryable: true });
    free.open();
    await holding;
    expect((await store.incidents.get(id)).tags).toEqual(['kept']);
    expect(await store.incidents.count({ tag: 'late, three' })).toBe(0);
    expect((await store.incidents.addTags(id, ['in time'])).tags).toEqual(['kept', 'in time']);
    await store.close();
  });

  it('no more than maxQueued calls wait', async () => {
    const { backend } = subject();
    if (!backend.shared) return expect(backend.name).toContain('memory');
    const store = await other({ maxQueued: 3, ...(backend.dialect === 'postgres' ? { poolSize: 1 } : {}) });
    const { id } = await store.incidents.create(newIncident());
    const [begun, free] = [gate(), gate()];
    const holding = store.transaction(() => {
      begun.open();
      return free.opened;
    });
    await begun.opened;
    const calls = Array.from({ length: 8 }, (_, i) => settled(store.incidents.addTags(id, [`t${i}`])));
    void Promise.all(calls.slice(3)).then(() => free.open()); // those that may not wait fail while it is held
    const outcomes = await Promise.all(calls);
    const refused = outcomes.filter((outcome) => outcome instanceof Error);
    expect(refused.length).toBe(5);
    for (const error of refused) expect(error).toMatchObject({ code: 'busy', reason: 'queue_full', retryable: true });
    await holding;
    expect((await store.incidents.get(id)).tags).toEqual(['t0', 't1', 't2']);
    await store.close();
  });

  it('createMany gives up a source that gives nothing, in its transaction too, and stores nothing of it', async () => {
    // F-C8
    const { backend, store: own } = subject();
    const store = backend.shared ? await other({ sourceTimeoutMs: 150 }) : own;
    if (store === own) return expect(backend.shared).toBe(false);
    let ended = 0;
    async function* stuck(rows: number) {
      try {
        for (let i = 0; i < rows; i++) yield newIncident({ tags: ['stuck'], alertData: 'x'.repeat(2_000) });
        await never;
      } finally {
        ended++;
      }
    }
    for (const rows of [3, 4_000])
      expect(await settled(store.incidents.createMany(stuck(rows)))).toMatchObject({
        code: 'timeout',
        reason: 'source',
      });
    expect(await settled(store.transaction((tx) => tx.incidents.createMany(stuck(3))))).toMatchObject({
      code: 'timeout',
    });
    expect(await store.incidents.count({ tag: 'stuck' })).toBe(0);
    expect((await store.incidents.create(newIncident())).status).toBe('new'); // nothing holds the writer
    expect(ended).toBe(0); // it cannot be ended: it never came back
    await store.close();
  });

  it('close waits for what is in flight, and then no longer', async () => {
    const { backend } = subject();
    if (!backend.shared) return expect(backend.name).toContain('memory');
    const store = await other({});
    const { id } = await store.incidents.create(newIncident());
    const inTime = store.transaction(async (tx) => {
      await sleep(50);
      return tx.incidents.addTags(id, ['in time']);
    });
    const stuck = settled(
      store.transaction(async (tx) => {
        await tx.incidents.create(newIncident({ tags: ['never'] }));
        await never;
      }),
    );
    const waiting = Array.from({ length: 3 }, () => settled(store.transaction(() => never)));
    await settled(store.close({ timeoutMs: 1_500 }));
    expect((await inTime).tags).toEqual(['in time']);
    expect(await stuck).toMatchObject({ code: expect.stringMatching(/^(connection|closed)$/), retryable: false });
    for (const error of await Promise.all(waiting))
      expect(error).toMatchObject({ code: expect.stringMatching(/^(connection|closed)$/) });
    expect(await settled(store.incidents.get(id))).toMatchObject({ code: 'closed' });
    await store.close(); // again
    expect((await subject().store.incidents.get(id)).tags).toEqual(['in time']);
    expect(await subject().store.incidents.count({ tag: 'never' })).toBe(0);
    await expect(subject().store.close({ timeoutMs: -1 })).rejects.toMatchObject({ code: 'validation' });
  });

  it('a statement with a name that no value stands for fails before it is sent', async () => {
    // F-E7
    const cx = Reflect.get(subject().store, 'cx');
    const { compile, bound } = await import('../../src/driver/statement.ts');
    const { sql } = await import('drizzle-orm');
    const statement = compile(cx.dialect, sql`select ${bound('there')}, ${bound('missing')}`, { reads: true });
    expect(() => statement.query({ there: 1 })).toThrow("no value is bound for 'missing'");
    expect(await subject().store.incidents.count()).toEqual(expect.any(Number));
  });
});
