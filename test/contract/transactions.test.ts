import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import {
  ConflictError,
  NotFoundError,
  SerializationError,
  TransactionAbortedError,
  TransactionScopeError,
  UniqueError,
} from '../../src/index.ts';
import type { Handle } from '../../src/store.ts';
import { contract } from '../support/contract.ts';
import { actionsOf, newIncident } from '../support/fixtures.ts';
import { gate } from '../support/gate.ts';

contract('transactions', (subject) => {
  const create = async (handle: Pick<Handle, 'incidents'>) => (await handle.incidents.create(newIncident())).id;
  const exists = async (id: string) => (await subject().store.incidents.find(id)) !== null;

  it('leave nothing behind when the callback throws after an await', async () => {
    // R-T1
    const { store } = subject();
    const ids: string[] = [];
    await expect(
      store.transaction(async (tx) => {
        ids.push(await create(tx));
        await sleep(5);
        ids.push(await create(tx));
        throw new Error('boom');
      }),
    ).rejects.toThrow('boom');
    expect(await Promise.all(ids.map(exists))).toEqual([false, false]);
    expect(await store.auditLogs.count({ incidentId: ids[0] })).toBe(0);
  });

  it('answer what the callback answers, committed', async () => {
    const { store } = subject();
    const id = await store.transaction(create);
    expect(await exists(id)).toBe(true);
  });

  it('keep a plain call out of an open transaction, and its uncommitted rows out of sight', async () => {
    // R-T2, R-T3
    const { store } = subject();
    const started = gate();
    const finish = gate();
    let inside = '';
    const transaction = store.transaction(async (tx) => {
      inside = await create(tx);
      started.open();
      await finish.opened;
      throw new Error('boom');
    });
    transaction.catch(() => {});
    await started.opened;
    const outside = create(store); // must survive the rollback
    const seen = exists(inside);
    setTimeout(finish.open, 20);
    await expect(transaction).rejects.toThrow('boom');
    expect(await seen).toBe(false);
    expect(await exists(await outside)).toBe(true);
  });

  it('do not make a reader wait, but in memory, where there is one connection', async () => {
    // R-T3
    const { store, backend } = subject();
    const started = gate();
    const finish = gate();
    const id = await create(store);
    const transaction = store.transaction(async (tx) => {
      await tx.incidents.addTags(id, ['uncommitted']);
      started.open();
      await finish.opened;
    });
    await started.opened;
    const read = store.incidents.get(id);
    if (backend.name === 'SQLite :memory:') {
      const first = await Promise.race([read.then(() => 'read'), sleep(30, 'waiting')]);
      expect(first).toBe('waiting');
      finish.open();
      expect((await read).tags).toEqual(['uncommitted']);
    } else {
      expect((await read).tags).toEqual([]); // while the transaction is open: it would hang here otherwise
      finish.open();
    }
    await transaction;
    expect((await store.incidents.get(id)).tags).toEqual(['uncommitted']);
  });

  it('never interleave: 30 at once, a third of them failing, each sees its own writes', async () => {
    // R-T2
    const { store } = subject();
    const ids: string[] = [];
    const results = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        store.transaction(async (tx) => {
          const id = await create(tx);
          ids[i] = id;
          await sleep(i % 4);
          await tx.incidents.transition(id, { from: 'new', to: 'enriching' });
          await sleep(i % 3);
          if (i % 3 === 0) throw new Error('no');
          expect((await tx.incidents.get(id)).status).toBe('enriching');
        }),
      ),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
    const kept = await Promise.all(ids.map(exists));
    expect(kept).toEqual(ids.map((_, i) => i % 3 !== 0));
  });

  it('neither dead-lock nor mix above the pool’s size', async () => {
    // R-T8
    const { database } = subject();
    const poolSize = 3;
    const store = subject().backend.shared
      ? await database.open(subject().backend.dialect === 'postgres' ? { poolSize } : {})
      : subject().store;
    await Promise.all(
      Array.from({ length: 4 * poolSize }, (_, i) =>
        store.transaction(async (tx) => {
          const { id } = await tx.incidents.create(newIncident({ tags: [`t${i}`] }));
          await sleep(2);
          expect((await tx.incidents.get(id)).tags).toEqual([`t${i}`]);
          await tx.incidents.addTags(id, ['done']);
        }),
      ),
    );
    const { items } = await store.incidents.list({ tag: 'done' }, { limit: 200 });
    expect(items.map(({ tags }) => tags[0]).sort()).toEqual(
      Array.from({ length: 4 * poolSize }, (_, i) => `t${i}`).sort(),
    );
  });

  it('nest: an inner rollback keeps the outer work, an outer one takes the inner', async () => {
    // R-T4
    const { store } = subject();
    const ids: Record<string, string> = {};
    await store.transaction(async (tx) => {
      ids.outer = await create(tx);
      await expect(
        tx.transaction(async (inner) => {
          ids.inner = await create(inner);
          await inner.transaction(async (innermost) => {
            ids.innermost = await create(innermost);
          });
          throw new Error('inner');
        }),
      ).rejects.toThrow('inner');
      ids.second = await tx.transaction(create);
    });
    await store
      .transaction(async (tx) => {
        ids.lost = await tx.transaction(create);
        throw new Error('outer');
      })
      .catch(() => {});
    const kept = Object.fromEntries(
      await Promise.all(Object.entries(ids).map(async ([name, id]) => [name, await exists(id)])),
    );
    expect(kept).toEqual({ outer: true, inner: false, innermost: false, second: true, lost: false });
  });

  it('keep siblings apart that run in parallel inside one transaction', async () => {
    // R-T4
    const { store } = subject();
    const ids: string[] = [];
    await store.transaction(async (tx) => {
      const results = await Promise.allSettled([
        tx.transaction(async (inner) => {
          ids[0] = await create(inner);
          await sleep(5);
          throw new Error('a');
        }),
        create(tx).then((id) => {
          ids[1] = id;
        }),
        tx.transaction(async (inner) => {
          ids[2] = await create(inner);
        }),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    });
    expect(await Promise.all(ids.map(exists))).toEqual([false, true, true]);
  });

  it('are doomed by a failed statement, on both databases; a nested one contains it', async () => {
    // R-T4: on PostgreSQL a caught error poisons the transaction, so SQLite must not let it pass
    const { store } = subject();
    const id = await create(store);
    let after = '';
    await expect(
      store.transaction(async (tx) => {
        await tx.incidents.create(newIncident({ id })).catch(() => {});
        after = await create(tx);
      }),
    ).rejects.toThrow(TransactionAbortedError);
    await expect(
      store.transaction(async (tx) => {
        after = await create(tx);
        await tx.incidents.create(newIncident({ id })).catch(() => {});
      }),
    ).rejects.toThrow(UniqueError);
    expect(await exists(after)).toBe(false);
    await store.transaction(async (tx) => {
      await tx.transaction((inner) => inner.incidents.create(newIncident({ id }))).catch(() => {});
      after = await create(tx);
    });
    expect(await exists(after)).toBe(true);
  });

  it('are not doomed by an error that no statement made', async () => {
    const { store } = subject();
    const id = await store.transaction(async (tx) => {
      const created = await create(tx);
      await expect(tx.incidents.get('00000000-0000-7000-8000-000000000000')).rejects.toThrow(NotFoundError);
      await expect(tx.incidents.transition(created, { from: 'closed', to: 'new' })).rejects.toThrow(ConflictError);
      return created;
    });
    expect(await exists(id)).toBe(true);
  });

  it('refuse at once the outer store inside their callback', async () => {
    // R-T5
    const { store } = subject();
    const id = await create(store);
    await expect(store.transaction(() => create(store))).rejects.toThrow(TransactionScopeError);
    await expect(store.transaction(() => store.incidents.get(id))).rejects.toThrow(TransactionScopeError);
    await expect(store.transaction(() => store.as('bob').incidents.get(id))).rejects.toThrow(TransactionScopeError);
    await expect(store.transaction(() => store.transaction(create))).rejects.toThrow(TransactionScopeError);
    await expect(store.transaction((tx) => tx.transaction(() => create(tx)))).rejects.toThrow(TransactionScopeError);
    for (const call of [() => store.close(), () => store.migrate(), () => store.migrationStatus()])
      await expect(store.transaction<unknown>(call)).rejects.toThrow(TransactionScopeError);
    expect(await exists(await create(store))).toBe(true);
  });

  it('let another store be used inside their callback', async () => {
    const other = await subject().backend.create();
    try {
      const otherStore = await other.open();
      const { id } = await subject().store.transaction(() => otherStore.incidents.create(newIncident()));
      expect((await otherStore.incidents.get(id)).id).toBe(id);
    } finally {
      await other.drop();
    }
  });

  it('end: their handle is dead from then on, and work that outlives them may use the store', async () => {
    const { store } = subject();
    let leaked: Handle | undefined;
    let late: Promise<string> | undefined;
    await store.transaction(async (tx) => {
      leaked = tx;
      late = sleep(10).then(() => create(store));
    });
    await expect(leaked?.incidents.list()).rejects.toThrow(TransactionScopeError);
    expect(await exists((await late) ?? '')).toBe(true);
  });

  it('take a statement that nobody awaited with them', async () => {
    const { store } = subject();
    const id = '01890000-0000-7000-8000-0000000000aa';
    await store.transaction(async (tx) => {
      void tx.incidents.create(newIncident({ id }));
    });
    expect(await exists(id)).toBe(true);
  });

  it('take a nested one with them that still runs when they fail: it writes nowhere else', async () => {
    // R-T2, R-T4
    const { store } = subject();
    const scope = `leak ${crypto.randomUUID()}`;
    const reached = gate();
    let nested: Promise<unknown> | undefined;
    const outer = store.transaction(async (tx) => {
      await tx.incidents.create(newIncident({ tags: [scope] }));
      nested = tx
        .transaction(async (inner) => {
          await inner.incidents.create(newIncident({ tags: [scope] }));
          reached.open();
          await sleep(30);
          await inner.incidents.create(newIncident({ tags: [scope] }));
        })
        .catch((error) => error);
      await reached.opened;
      throw new Error('outer');
    });
    const other = store.transaction(async (tx) => {
      const id = await create(tx);
      await sleep(50);
      return id;
    });
    await expect(outer).rejects.toThrow('outer');
    expect(await nested).toBeInstanceOf(TransactionScopeError);
    expect(await exists(await other)).toBe(true);
    expect(await store.incidents.count({ tag: scope })).toBe(0);
  });

  it('write the audit trail in the name of `as`, inside too', async () => {
    const { store } = subject();
    const id = await store.as('alice').transaction(async (tx) => {
      const created = await create(tx);
      await tx.as('bob').incidents.addTags(created, ['x']);
      return created;
    });
    const { items } = await store.auditLogs.list({ incidentId: id });
    expect(items.map(({ actor }) => actor)).toEqual(['alice', 'bob']);
    expect(await actionsOf(store, id)).toEqual(['incident_created', 'tags_added']);
  });

  it('never run the callback again for its own error, also when it looks like the database’s', async () => {
    // R-T9
    const { store } = subject();
    let runs = 0;
    const work = async () => {
      runs++;
      throw new SerializationError();
    };
    await expect(store.transaction(work, { retries: 3 })).rejects.toThrow(SerializationError);
    expect(runs).toBe(1);
  });

  it('refuse another isolation than that of the outermost one', async () => {
    const { store } = subject();
    const nested = (outer: object, isolation: 'repeatable read') =>
      store.transaction((tx) => tx.transaction((inner) => inner.incidents.count(), { isolation }), outer);
    expect(await nested({ isolation: 'repeatable read' }, 'repeatable read')).toEqual(expect.any(Number));
    for (const outer of [{}, { isolation: 'serializable' }])
      await expect(nested(outer, 'repeatable read')).rejects.toMatchObject({ code: 'transaction_scope' });
    const caught = store.transaction(async (tx) => {
      await tx.transaction(async () => {}, { isolation: 'serializable' }).catch(() => {});
      return tx.incidents.count(); // nothing was done: it is sound still
    });
    expect(await caught).toEqual(expect.any(Number));
  });

  it('refuse options that they do not know', async () => {
    const { store } = subject();
    await expect(store.transaction(async () => {}, { retries: -1 })).rejects.toThrow('retries');
    await expect(store.transaction(async () => {}, { isolation: 'snapshot' as never })).rejects.toThrow('isolation');
  });
});
