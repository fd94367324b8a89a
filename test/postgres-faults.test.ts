/** F-H1, F-H2, F-H2a, F-H2c, F-C8: whatever a server does, every call settles in time, tells what became of it, and the next one works. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { BusyError, ConnectionError, type PostgresOptions, TimeoutError } from '../src/index.ts';
import { openPostgresStore } from '../src/postgres/open.ts';
import type { Store } from '../src/store.ts';
import { newIncident } from './support/fixtures.ts';
import { gate } from './support/gate.ts';
import { type Answer, fatal, type Script, ScriptedServer } from './support/scripted-server.ts';
import { settled } from './support/settled.ts';

/** Long ones, where a call must succeed; tests of what must not give their own. */
const LIMITS = {
  connectTimeoutMs: 1_000,
  acquireTimeoutMs: 20_000,
  statementTimeoutMs: 20_000,
  silenceTimeoutMs: 60_000,
};
const SHORT = { acquireTimeoutMs: 600, statementTimeoutMs: 600 };

const servers: ScriptedServer[] = [];
const stores: Store[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await settled(store.close({ timeoutMs: 500 }));
  for (const server of servers.splice(0)) await server.stop();
});

async function scripted(script: Script, options: PostgresOptions = {}) {
  const server = await new ScriptedServer(script).start();
  servers.push(server);
  const store = await openPostgresStore(server.url, { migrations: 'off', poolSize: 10, ...LIMITS, ...options });
  stores.push(store);
  return { server, store };
}

const many = (count: number, call: () => Promise<unknown>) =>
  Promise.all(Array.from({ length: count }, () => settled(call())));
const read = (store: Store) => store.incidents.find('01890000-0000-7000-8000-000000000001');
const write = (store: Store) =>
  store.auditLogs.append({ incidentId: '01890000-0000-7000-8000-000000000001', action: 'comment_added' });

const ok = (sql: string): Answer | undefined => (/count\(/.test(sql) ? { rows: [['7']] } : undefined);

describe('a server that takes no connection', () => {
  it.each([
    ['57P03', 'starting', true],
    ['53300', 'too_many_connections', true],
    ['28P01', 'authentication', false],
    ['3D000', 'no_database', false],
    ['08P01', 'refused', true],
    ['0A000', 'rejected', false],
  ] as const)('fails all of 50 calls with FATAL %s, as %s', async (code, reason, retryable) => {
    const { store } = await scripted({ welcome: () => fatal(code) });
    for (const error of await many(50, () => store.incidents.count())) {
      expect(error).toBeInstanceOf(ConnectionError);
      expect(error).toMatchObject({ reason, retryable, outcome: 'not_sent', cause: { code } });
    }
    for (const call of [read, write, (one: Store) => one.transaction((tx) => tx.incidents.count())])
      for (const error of await many(15, () => call(store))) expect(error).toMatchObject({ reason });
  });

  it('is understood where a pooler speaks for it, which names no untranslated severity', async () => {
    const { store } = await scripted({ welcome: () => ({ ...fatal('53300'), isOfPooler: true }) });
    expect(await settled(store.incidents.count())).toMatchObject({ reason: 'too_many_connections', retryable: true });
  });

  it.each(['close', 'silence'] as const)('fails all of 50 calls where connections meet with: %s', async (welcome) => {
    const { server, store } = await scripted({ welcome: () => welcome });
    const errors = await many(50, () => store.incidents.count());
    for (const error of errors)
      expect(error).toMatchObject({ code: 'connection', outcome: 'not_sent', retryable: true });
    expect(errors[0]).toMatchObject({ reason: welcome === 'close' ? 'lost' : 'timeout' });
    server.script = { answer: ok };
    expect(await settled(store.incidents.count())).toBe(7); // once the server does
  });

  it('fails all of 50 calls where nothing listens, and works once something does', async () => {
    const { server, store } = await scripted({ answer: ok });
    await server.stop();
    for (const error of await many(50, () => store.incidents.count()))
      expect(error).toMatchObject({ code: 'connection', reason: 'refused', retryable: true });
    await server.start();
    expect(await settled(store.incidents.count())).toBe(7);
  });

  it('is tried again after pauses, not in a hot loop', async () => {
    const { server, store } = await scripted({ welcome: () => fatal('57P03') });
    const end = performance.now() + 1_000;
    let calls = 0;
    await many(20, async () => {
      for (; performance.now() < end; calls++) await store.incidents.count().catch(() => {});
    });
    expect(calls).toBeGreaterThan(20);
    expect(server.connections).toBeLessThan(60); // 50 ms, 100, 200 … between them
  });

  it('has no connection left, but some that live: those are waited for', async () => {
    // F-H2c: a role or server at its limit
    const { server, store } = await scripted({
      welcome: () => (server.open > 3 ? fatal('53300') : 'accept'),
      answer: async (sql) => {
        await sleep(5);
        return ok(sql);
      },
    });
    expect(await many(40, () => store.incidents.count())).toEqual(Array.from({ length: 40 }, () => 7));
    for (const outcome of await many(40, () => store.transaction((tx) => tx.incidents.count())))
      expect(outcome).toBe(7);
  });

  it('fails no call that came after the attempt began: that is for the next attempt', async () => {
    const [seen, held] = [gate(), gate()];
    const { store } = await scripted(
      {
        answer: async (sql, connection) => {
          if (connection > 1 || !/pg_is_in_recovery/.test(sql)) return ok(sql);
          seen.open();
          await held.opened;
          return 'close';
        },
      },
      { poolSize: 1 },
    );
    const before = settled(store.incidents.count());
    await seen.opened;
    const after = settled(store.incidents.count());
    held.open();
    expect(await before).toMatchObject({ code: 'connection', reason: 'lost', outcome: 'not_sent' });
    expect(await after).toBe(7);
  });

  it('is connected to as often as calls need it, and no more', async () => {
    const { server, store } = await scripted({ answer: ok });
    for (let i = 0; i < 5; i++) {
      expect(await settled(store.incidents.count())).toBe(7);
      await settled(store.transaction((tx) => tx.incidents.count()));
    }
    expect(server.connections).toBe(1);
  });

  it('does not hold back the next call once it has timed out', async () => {
    const { server, store } = await scripted({ welcome: () => 'silence' }, { poolSize: 1 });
    expect(await settled(store.incidents.count())).toMatchObject({ code: 'connection', reason: 'timeout' });
    server.script = { answer: ok };
    expect(await many(5, () => store.incidents.count())).toEqual([7, 7, 7, 7, 7]);
  });
});

describe('a server that fails a statement', () => {
  it.each(['close', 'cut', fatal('57P01')] as const)(
    '%j: the calls of that connection fail, the others do not',
    async (how) => {
      let left = 1;
      const { store } = await scripted({
        answer: (sql) => (/count\(/.test(sql) && left-- > 0 ? how : ok(sql)),
      });
      const outcomes = await many(30, () => store.incidents.count());
      const failed = outcomes.filter((outcome) => outcome instanceof ConnectionError);
      expect(failed).toHaveLength(1);
      expect(failed[0]).toMatchObject({ outcome: 'unknown', retryable: true }); // it reads
      expect(await settled(store.incidents.count())).toBe(7);
    },
  );

  it('tells a write that may have happened from one that did not', async () => {
    let how: Answer = 'close';
    const { store } = await scripted({
      answer: (sql) => (/insert/i.test(sql) && !/^describe/.test(sql) ? how : ok(sql)),
    });
    expect(await settled(write(store))).toMatchObject({ code: 'connection', outcome: 'unknown', retryable: false });
    const inside = store.transaction((tx) =>
      tx.auditLogs.append({ incidentId: crypto.randomUUID(), action: 'comment_added' }),
    );
    expect(await settled(inside)).toMatchObject({ code: 'connection', outcome: 'rolled_back', retryable: true });
    how = { severity: 'ERROR', code: '57014' };
    expect(await settled(write(store))).toMatchObject({ code: 'timeout', reason: 'cancelled', outcome: 'rolled_back' });
  });

  it('closes during COMMIT: what became of the transaction is unknown', async () => {
    const { store } = await scripted({ answer: (sql) => (/^commit/i.test(sql) ? 'close' : ok(sql)) });
    for (const error of await many(25, () => store.transaction((tx) => tx.incidents.count())))
      expect(error).toMatchObject({ code: 'connection', outcome: 'unknown', retryable: false });
    expect(await settled(store.incidents.count())).toBe(7);
  });

  it('says ROLLBACK where it was told COMMIT: the transaction fails', async () => {
    const { store } = await scripted({
      answer: (sql) => (/^commit/i.test(sql) ? { rows: [], tag: 'ROLLBACK' } : ok(sql)),
    });
    expect(await settled(store.transaction((tx) => tx.incidents.count()))).toMatchObject({
      code: 'transaction_aborted',
    });
  });

  it('falls silent: each call fails within its limits, writes as unknown, and is cancelled on the server', async () => {
    // F-H2
    const { server, store } = await scripted({}, SHORT);
    await settled(read(store));
    server.script = { answer: (sql) => (/pg_is_in_recovery/.test(sql) ? undefined : 'ignore') };
    const outcomes = await Promise.all([
      many(12, () => store.incidents.count()),
      many(3, () => read(store)),
      many(20, () => write(store)),
      many(5, () => store.transaction((tx) => tx.incidents.count())),
    ]);
    for (const error of outcomes.flat())
      expect(error instanceof TimeoutError || error instanceof ConnectionError || error instanceof BusyError).toBe(
        true,
      );
    const sent = outcomes[2].filter((error) => !(error instanceof BusyError));
    expect(sent.length).toBeGreaterThan(0);
    for (const error of sent) expect(error).toMatchObject({ outcome: 'unknown', retryable: false });
    expect(server.cancels).toBeGreaterThan(0);
    server.script = { answer: ok };
    expect(await settled(store.incidents.count())).toBe(7);
  });

  it('is silent to all, also to a new connection: it is given up before the statement’s own limit', async () => {
    let isSilent = false;
    const { server, store } = await scripted(
      { welcome: () => (isSilent ? 'silence' : 'accept'), answer: (sql) => (isSilent ? 'ignore' : ok(sql)) },
      { silenceTimeoutMs: 400, statementTimeoutMs: 60_000, acquireTimeoutMs: 60_000 },
    );
    await many(10, () => store.incidents.count());
    isSilent = true;
    const errors = await many(10, () => store.incidents.count());
    for (const error of errors) expect(error).toMatchObject({ code: 'connection', retryable: true });
    expect(errors).toContainEqual(expect.objectContaining({ reason: 'silent', outcome: 'unknown' }));
    isSilent = false;
    expect(await settled(store.incidents.count())).toBe(7);
    expect(server.connections).toBeGreaterThan(10);
  });

  it('takes long for one statement, and answers others: it is not given up', async () => {
    const { store } = await scripted(
      {
        answer: async (sql) => {
          if (/count\(/.test(sql)) await sleep(1_500);
          return ok(sql);
        },
      },
      { silenceTimeoutMs: 300, statementTimeoutMs: 20_000 },
    );
    expect(await settled(store.incidents.count())).toBe(7);
  });

  it('is restarted under 100 callers: all settle, nothing is sent twice, and the next calls work', async () => {
    const { server, store } = await scripted({ answer: ok });
    let isOver = false;
    const outcomes: unknown[] = [];
    const calling = Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        while (!isOver) {
          outcomes.push(
            await settled(i % 2 ? store.incidents.count() : store.transaction((tx) => tx.incidents.count())),
          );
          await sleep(1);
        }
      }),
    );
    for (let round = 0; round < 3; round++) {
      await sleep(100);
      await server.stop();
      await sleep(100);
      await server.start();
    }
    await sleep(300);
    isOver = true;
    await calling;
    expect(outcomes).toContain(7);
    for (const error of outcomes.filter((outcome) => outcome !== 7)) expect(error).toBeInstanceOf(ConnectionError);
    expect(await many(20, () => store.incidents.count())).toEqual(Array.from({ length: 20 }, () => 7));
  });
});

describe('a server that goes away while a statement is cancelled', () => {
  it('ends no process: the request that cannot be delivered is given up', async () => {
    const unexpected: unknown[] = [];
    const note = (error: unknown) => unexpected.push(error);
    process.on('unhandledRejection', note);
    let accepts = true;
    const { server, store } = await scripted(
      { answer: (sql) => (/count\(/.test(sql) ? 'ignore' : undefined), cancel: () => accepts },
      { statementTimeoutMs: 300 },
    );
    await settled(read(store));
    accepts = false;
    expect(await settled(store.incidents.count())).toMatchObject({ code: 'timeout', reason: 'statement' });
    server.refuse(); // nothing listens; what is connected stays
    expect(await settled(store.transaction((tx) => tx.incidents.count()))).toMatchObject({ code: expect.any(String) });
    await sleep(300);
    process.off('unhandledRejection', note);
    expect(unexpected).toEqual([]);
  });

  it('is not silent because it takes no new connection', async () => {
    const { server, store } = await scripted(
      {
        answer: async (sql) => {
          if (/count\(/.test(sql)) await sleep(1_500);
          return ok(sql);
        },
      },
      { silenceTimeoutMs: 300, statementTimeoutMs: 20_000 },
    );
    await settled(read(store));
    const counting = settled(store.incidents.count());
    await sleep(50);
    server.refuse();
    expect(await counting).toBe(7);
  });
});

describe('what waits', () => {
  it('is not kept waiting by a connection that is stuck: another one is freed for it', async () => {
    let stuck = 0;
    const { store } = await scripted(
      {
        answer: async (sql, connection) => {
          if (!/^describe/.test(sql) && /"incidents"."id" = /.test(sql)) {
            stuck ||= connection;
            if (connection === stuck) await new Promise(() => {});
            await sleep(2);
          }
          return ok(sql);
        },
      },
      { poolSize: 3, acquireTimeoutMs: 20_000, statementTimeoutMs: 60_000 },
    );
    void settled(read(store), 120_000);
    await sleep(50);
    let isOver = false;
    const reading = many(10, async () => {
      while (!isOver) await read(store);
    });
    await sleep(50);
    expect(await settled(store.incidents.count())).toBe(7);
    expect(await settled(store.transaction((tx) => tx.incidents.count()))).toBe(7);
    isOver = true;
    await reading;
  });

  const slow = (ms: number): Script => ({
    answer: async (sql) => {
      if (/count\(/.test(sql)) await sleep(ms);
      return ok(sql);
    },
  });

  it('waits no longer than acquireTimeoutMs, and fails with what it waited for', async () => {
    const { store } = await scripted(slow(400), { poolSize: 1, acquireTimeoutMs: 250, statementTimeoutMs: 5_000 });
    const [first, ...others] = await many(4, () => store.incidents.count());
    expect(first).toBe(7);
    for (const error of others)
      expect(error).toMatchObject({ code: 'busy', reason: 'acquire_timeout', outcome: 'not_sent', retryable: true });
  });

  it('is no more than maxQueued calls', async () => {
    const { store } = await scripted(slow(50), { poolSize: 1, maxQueued: 3, acquireTimeoutMs: 20_000 });
    const outcomes = await many(10, () => store.incidents.count());
    expect(outcomes.filter((outcome) => outcome === 7).length).toBeLessThanOrEqual(5);
    expect(
      outcomes.filter((outcome) => outcome instanceof BusyError && outcome.reason === 'queue_full').length,
    ).toBeGreaterThanOrEqual(5);
  });

  it('reads go on beside as many blocked writers as there are connections', async () => {
    // F-H2a
    let release = () => {};
    const blocked = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { store } = await scripted(
      {
        answer: async (sql) => {
          if (/insert/i.test(sql) && !/^describe/.test(sql)) await blocked;
          return ok(sql);
        },
      },
      { acquireTimeoutMs: 20_000, statementTimeoutMs: 20_000 },
    );
    const writing = many(30, () => write(store));
    await sleep(100);
    expect(await many(100, () => read(store))).toEqual(Array.from({ length: 100 }, () => null));
    expect(await many(20, () => store.incidents.count())).toEqual(Array.from({ length: 20 }, () => 7));
    release();
    await writing;
  });

  it('gets a connection in its turn, though reads that share one never end', async () => {
    const { store } = await scripted({ answer: ok }, { poolSize: 2, acquireTimeoutMs: 20_000 });
    let isOver = false;
    const reading = many(8, async () => {
      while (!isOver) await read(store);
    });
    for (let i = 0; i < 5; i++) {
      expect(await settled(store.transaction((tx) => tx.incidents.count()))).toBe(7);
      expect(await settled(store.incidents.count())).toBe(7);
    }
    isOver = true;
    await reading;
  });

  it('does not share a connection whose statement takes long', async () => {
    let held = 0;
    const free = gate();
    const { store } = await scripted(
      {
        answer: async (sql, connection) => {
          if (/"incidents"."id" = /.test(sql) && !/^describe/.test(sql) && !held) {
            held = connection;
            await free.opened;
          }
          return undefined;
        },
      },
      { poolSize: 2, acquireTimeoutMs: 20_000, statementTimeoutMs: 20_000 },
    );
    const first = settled(read(store));
    await sleep(100);
    let isFirstDone = false;
    void first.then(() => {
      isFirstDone = true;
    });
    await many(10, () => read(store));
    expect(isFirstDone).toBe(false); // they did not wait for it
    free.open();
    await first;
  });
});

describe('a transaction', () => {
  it('ends by its timeoutMs though its callback never does; its handle is dead, and the connection free', async () => {
    const { server, store } = await scripted({ answer: ok }, { poolSize: 1 });
    let late: Promise<unknown> = Promise.resolve();
    const error = await settled(
      store.transaction(
        async (tx) => {
          await tx.incidents.count();
          late = sleep(600).then(() => settled(tx.incidents.count()));
          await new Promise(() => {});
        },
        { timeoutMs: 200 },
      ),
    );
    expect(error).toMatchObject({ code: 'timeout', reason: 'transaction', outcome: 'rolled_back', retryable: true });
    expect(server.statements.at(-1)).toBe('rollback');
    expect(await settled(store.incidents.count())).toBe(7);
    expect(await late).toMatchObject({ code: 'transaction_scope' });
  });

  it('ends by its timeoutMs in the middle of a statement', async () => {
    const { server, store } = await scripted(
      { answer: (sql) => (/count\(/.test(sql) ? 'ignore' : undefined) },
      { statementTimeoutMs: 20_000 },
    );
    expect(await settled(store.transaction((tx) => tx.incidents.count(), { timeoutMs: 200 }))).toMatchObject({
      code: 'timeout',
      outcome: 'rolled_back',
    });
    await expect.poll(() => server.cancels).toBe(1);
  });

  it('sends nothing behind a cancellation that is still on its way: it would cancel the next statement', async () => {
    const [asked, delivered] = [gate(), gate()];
    const { server, store } = await scripted(
      {
        answer: async (sql) => {
          if (/count\(/.test(sql)) await asked.opened; // it ends by itself when it is about to be cancelled
          return ok(sql);
        },
        cancel: async () => {
          asked.open();
          await delivered.opened;
          return true;
        },
      },
      { statementTimeoutMs: 1_000, poolSize: 2 },
    );
    const transaction = settled(
      store.transaction(async (tx) => {
        await tx.incidents.count();
        setTimeout(delivered.open, 200);
        await tx.incidents.find('01890000-0000-7000-8000-000000000001');
        return server.statements.length;
      }),
    );
    await asked.opened;
    await sleep(100);
    expect(server.statements.filter((sql) => /"incidents"."id" = /.test(sql))).toEqual([]);
    expect(await transaction).toEqual(expect.any(Number));
    expect(server.statements.filter((sql) => /"incidents"."id" = /.test(sql))).not.toEqual([]);
  });

  it('counts the wait for a connection, and its retries', async () => {
    const { store } = await scripted({
      answer: (sql) => (/^commit/i.test(sql) ? { severity: 'ERROR', code: '40001' } : ok(sql)),
    });
    expect(
      await settled(store.transaction((tx) => tx.incidents.count(), { retries: 100, timeoutMs: 300 })),
    ).toMatchObject({
      code: expect.stringMatching(/timeout|serialization/),
    });
  });
});

describe('createMany', () => {
  it('gives up a source that gives nothing, and holds no connection for it', async () => {
    // F-C8
    const { store } = await scripted({ answer: ok }, { poolSize: 1, sourceTimeoutMs: 200 });
    async function* stuck() {
      for (let i = 0; i < 300; i++) yield newIncident();
      await new Promise(() => {});
    }
    expect(await settled(store.incidents.createMany(stuck()))).toMatchObject({
      code: 'timeout',
      reason: 'source',
      outcome: 'rolled_back',
      retryable: false,
    });
    expect(await settled(store.incidents.count())).toBe(7);
  });
});

describe('close', () => {
  it('waits for what is in flight, then fails it; later calls are refused', async () => {
    const { server, store } = await scripted(
      { answer: (sql) => (/pg_is_in_recovery|^begin/.test(sql) ? undefined : 'ignore') },
      { poolSize: 3, statementTimeoutMs: 60_000, acquireTimeoutMs: 60_000, silenceTimeoutMs: 60_000 },
    );
    const calls = [
      ...Array.from({ length: 8 }, () => settled(write(store))),
      settled(store.incidents.count()),
      settled(store.transaction(() => new Promise(() => {}))),
    ];
    await sleep(50);
    await settled(store.close({ timeoutMs: 200 }));
    for (const error of await Promise.all(calls))
      expect(error).toMatchObject({ code: expect.stringMatching(/^(connection|closed)$/), retryable: false });
    expect(await settled(store.incidents.count())).toMatchObject({ code: 'closed' });
    await expect.poll(() => server.open, { timeout: 10_000 }).toBe(0);
  });

  it('settles while the server cannot be reached, and while it is connecting', async () => {
    const { store } = await scripted(
      { welcome: () => 'silence' },
      { connectTimeoutMs: 60_000, acquireTimeoutMs: 60_000 },
    );
    const calls = many(20, () => store.incidents.count());
    await sleep(50);
    await settled(store.close({ timeoutMs: 100 }));
    for (const error of await calls)
      expect(error).toMatchObject({ code: expect.stringMatching(/^(connection|closed)$/) });
  });
});

describe('a value that the driver cannot write', () => {
  it('fails before it is sent, and no other statement fails with it or gets its result', async () => {
    // F-E7: UNDEFINED_VALUE hung the connection
    const { store } = await scripted({ answer: ok }, { poolSize: 1 });
    const { driver } = Reflect.get(store, 'cx');
    const bad = [undefined, Symbol('x'), {}, [], () => {}].map((value) =>
      settled(driver.exec({ sql: 'select $1', params: [value], reads: true })),
    );
    const good = many(5, () => store.incidents.count());
    for (const error of await Promise.all(bad)) expect(error).toBeInstanceOf(TypeError);
    expect(await good).toEqual([7, 7, 7, 7, 7]);
  });
});
