import { expect, it } from 'vitest';
import { generateKey, NotFoundError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);
const later = (seconds = 3600) => new Date(Date.now() + seconds * 1000);
const newId = () => crypto.randomUUID();

contract('sessions', (subject) => {
  it('store bytes and give them back, all 256 values', async () => {
    // R-C10, R-S8
    const { store } = subject();
    for (const data of [ALL_BYTES, new Uint8Array(), Buffer.from(ALL_BYTES)]) {
      const id = newId();
      const expiryDate = Math.floor(Date.now() / 1000) + 60;
      const session = await store.sessions.create({ id, data, expiryDate });
      expect(session).toEqual({ id, data: new Uint8Array(data), expiryDate });
      expect(await store.sessions.load(id)).toEqual(session);
      expect(await store.sessions.get(id)).toEqual(session);
    }
  });

  it('never overwrite by create, and always by save', async () => {
    // R-S8
    const { store } = subject();
    const id = newId();
    const [one, other] = await Promise.allSettled(
      [1, 2].map((byte) => store.sessions.create({ id, data: Uint8Array.of(byte), expiryDate: later() })),
    );
    expect([one?.status, other?.status].sort()).toEqual(['fulfilled', 'rejected']);
    await expect(store.sessions.create({ id, data: ALL_BYTES, expiryDate: later() })).rejects.toMatchObject({
      code: 'unique_violation',
      table: 'sessions',
      columns: ['id'],
    });
    await store.sessions.save({ id, data: Uint8Array.of(3), expiryDate: later() });
    await store.sessions.save({ id, data: Uint8Array.of(4), expiryDate: later(60) });
    expect((await store.sessions.load(id))?.data).toEqual(Uint8Array.of(4));
  });

  it('are gone once they have expired, before they are removed', async () => {
    // R-S8: the clock is the test's own
    const own = await subject().backend.create();
    let now = new Date('2026-01-01T00:00:00.000Z');
    const store = await own.open({ now: () => now });
    const expiryDate = Math.floor(now.getTime() / 1000) + 60;
    await store.sessions.create({ id: 'short', data: ALL_BYTES, expiryDate });
    await store.sessions.create({ id: 'long', data: ALL_BYTES, expiryDate: expiryDate + 3600 });
    now = new Date(expiryDate * 1000 - 1);
    expect(await store.sessions.load('short')).not.toBeNull();
    now = new Date(expiryDate * 1000);
    expect(await store.sessions.load('short')).toBeNull();
    expect(await store.sessions.find('short')).toBeNull();
    await expect(store.sessions.get('short')).rejects.toBeInstanceOf(NotFoundError);
    await expect(store.sessions.touch('short', later())).rejects.toBeInstanceOf(NotFoundError);
    expect(await store.sessions.count()).toBe(1);
    expect((await store.sessions.list()).items.map(({ id }) => id)).toEqual(['long']);
    await expect(store.sessions.create({ id: 'short', data: ALL_BYTES, expiryDate })).rejects.toMatchObject({
      code: 'unique_violation',
    });
    expect(await store.sessions.deleteExpired()).toBe(1);
    expect(await store.sessions.deleteExpired()).toBe(0);
    expect(await store.sessions.load('long')).not.toBeNull();
    await own.drop();
  });

  it('remove thousands of expired ones, a batch at a time', async () => {
    const own = await subject().backend.create();
    const store = await own.open();
    await store.transaction(async (tx) => {
      for (let i = 0; i < 2100; i++)
        await tx.sessions.create({ id: `s${i}`, data: Uint8Array.of(1), expiryDate: 1 + (i % 9) });
      await tx.sessions.create({ id: 'alive', data: Uint8Array.of(1), expiryDate: later() });
    });
    expect(await store.sessions.deleteExpired()).toBe(2100);
    expect(await store.sessions.count()).toBe(1);
    await own.drop();
  });

  it('live longer by touch, end by delete, and expire beyond 2038', async () => {
    const { store } = subject();
    const id = newId();
    await store.sessions.create({ id, data: ALL_BYTES, expiryDate: later(60) });
    const expiryDate = Date.UTC(2300, 0, 1) / 1000;
    await store.sessions.touch(id, expiryDate);
    expect(await store.sessions.load(id)).toEqual({ id, data: ALL_BYTES, expiryDate }); // R-C11: a number on both
    expect(await store.sessions.delete(id)).toBe(true);
    expect(await store.sessions.delete(id)).toBe(false);
    await expect(store.sessions.touch(id, expiryDate)).rejects.toBeInstanceOf(NotFoundError);
  });

  it.each([
    { id: '' },
    { id: 'x\0' },
    { id: 'x'.repeat(257) },
    { data: 'text' },
    { data: [1, 2] },
    { data: undefined },
    { expiryDate: Date.now() },
    { expiryDate: 1.5 },
    { expiryDate: new Date(Number.NaN) },
    { expiryDate: -1 },
    { expiryDate: '2030-01-01' },
    { expires: 1 },
  ])('refuse %j', async (wrong) => {
    const { store } = subject();
    const session = { id: newId(), data: ALL_BYTES, expiryDate: later(), ...wrong };
    await expect(store.sessions.create(session as never)).rejects.toMatchObject({ code: 'validation' });
    await expect(store.sessions.save(session as never)).rejects.toMatchObject({ code: 'validation' });
  });

  it('are listed by how their ids start, in the order of their expiry, each once', async () => {
    // R-L1, R-C8
    const { store } = subject();
    const prefix = `list_%${newId()}:`;
    const expiryDate = Math.floor(Date.now() / 1000) + 1000;
    for (let i = 0; i < 25; i++)
      await store.sessions.create({ id: `${prefix}${i}`, data: Uint8Array.of(i), expiryDate: expiryDate + (i % 2) });
    await store.sessions.create({ id: `listX%${newId()}`, data: ALL_BYTES, expiryDate });
    expect(await store.sessions.count({ idPrefix: prefix })).toBe(25);
    const seen: number[] = [];
    let after: string | null = null;
    do {
      const page = await store.sessions.list({ idPrefix: prefix }, { limit: 4, after });
      for (const { data } of page.items) seen.push(data[0] as number);
      after = page.next;
    } while (after);
    expect(new Set(seen).size).toBe(25);
    expect(seen.map((i) => i % 2)).toEqual(seen.map((i) => i % 2).toSorted());
    const ids: string[] = [];
    for await (const { id } of store.sessions.stream({ idPrefix: prefix }, { batchSize: 4 })) ids.push(id);
    expect(ids).toHaveLength(25);
    expect(ids).toEqual(ids.toSorted());
    for (const id of ['_x', 'a', 'B', 'c'])
      await store.sessions.create({ id: `${prefix}by-${id}`, data: ALL_BYTES, expiryDate });
    for (const sort of ['id', 'expiring_first'] as const) {
      const { items } = await store.sessions.list({ idPrefix: `${prefix}by-` }, { sort });
      expect(items.map(({ id }) => id.slice(prefix.length + 3))).toEqual(['B', '_x', 'a', 'c']); // by their bytes
    }
    expect(await store.sessions.deleteByPrefix(`${prefix}by-`)).toBe(4);
    expect(await store.sessions.deleteByPrefix(prefix)).toBe(25);
    expect(await store.sessions.count({ idPrefix: prefix })).toBe(0);
  });

  it('end for a user whose id stands in their data', async () => {
    const own = await subject().backend.create();
    const store = await own.open();
    const [alice, bob] = [crypto.randomUUID(), crypto.randomUUID()];
    const save = (id: string, value: unknown) =>
      store.sessions.create({ id, data: Buffer.from(JSON.stringify(value)), expiryDate: later() });
    await save('express', { cookie: {}, userId: alice });
    await save('nested', { cookie: {}, lastViewed: { user_id: bob }, deep: [{ user_id: alice.toUpperCase() }] });
    await save('passport', { cookie: {}, passport: { user: alice } });
    await save('of no one', { cookie: {}, user: alice });
    await save('bob', { userId: bob });
    await save('nobody', { cookie: {} });
    await store.sessions.create({ id: 'opaque', data: ALL_BYTES, expiryDate: later() });
    expect(await store.sessions.deleteForUser(alice)).toBe(3);
    expect(await store.sessions.deleteForUser(alice)).toBe(0);
    const left = (await store.sessions.list()).items.map(({ id }) => id).sort();
    expect(left).toEqual(['bob', 'nobody', 'of no one', 'opaque']);
    expect(await store.sessions.deleteForUser('who starts with 0', ({ data }) => data[0] === 0)).toBe(1);
    await expect(store.sessions.deleteForUser('no uuid')).rejects.toMatchObject({ code: 'validation' });
    await own.drop();
  });
});

contract(
  'sessions with keys',
  (subject) => {
    it('are stored encrypted, bound to their id, and read back', async () => {
      // R-S8, R-S2
      const { database, backend } = subject();
      const keys = { primary: 'a', a: generateKey() };
      const store = await database.open({ keys });
      const plain = Buffer.from('{"csrf":"planted-needle"}');
      const [id, other] = [newId(), newId()];
      await store.sessions.create({ id, data: plain, expiryDate: later() });
      await store.sessions.save({ id: other, data: ALL_BYTES, expiryDate: later() });
      const stored = async (of: string) =>
        (await database.raw(`select data from sessions where id = '${of}'`))[0]?.data as Buffer;
      expect((await stored(id)).toString('latin1')).not.toContain('needle');
      expect((await stored(id)).equals(await stored(id))).toBe(true);
      expect((await store.sessions.load(id))?.data).toEqual(new Uint8Array(plain));
      expect((await store.sessions.load(other))?.data).toEqual(ALL_BYTES);

      await database.raw(
        `update sessions set data = (select data from sessions where id = '${id}') where id = '${other}'`,
      );
      await expect(store.sessions.load(other)).rejects.toMatchObject({ code: 'crypto', problem: 'not_authentic' });
      const strangers = await database.open({ keys: { primary: 'b', b: generateKey() } });
      await expect(strangers.sessions.load(id)).rejects.toMatchObject({
        code: 'crypto',
        problem: 'unknown_key',
        keyId: 'a',
      });
      const keyless = await database.open();
      await expect(keyless.sessions.load(id)).rejects.toMatchObject({ code: 'crypto', problem: 'no_key' });

      // what another program stored as it is, is read
      const hex = Buffer.from(plain).toString('hex');
      const literal = backend.dialect === 'sqlite' ? `x'${hex}'` : `'\\x${hex}'`;
      await database.raw(`update sessions set data = ${literal} where id = '${other}'`);
      expect((await store.sessions.load(other))?.data).toEqual(new Uint8Array(plain));
      // and stored as it is, when others are to read it
      const open = await database.open({ keys, encryptSessions: false });
      await open.sessions.save({ id: other, data: ALL_BYTES, expiryDate: later() });
      expect(new Uint8Array(await stored(other))).toEqual(ALL_BYTES);
      await expect(
        open.sessions.save({ id: other, data: Buffer.from('\0tw1 like encrypted data'), expiryDate: later() }),
      ).rejects.toMatchObject({ code: 'validation' });
    });

    it('end for a user even where one of them cannot be decrypted, which is told afterwards', async () => {
      const own = await subject().backend.create();
      const [a, b] = [generateKey(), generateKey()];
      const store = await own.open({ keys: { primary: 'a', a } });
      const strangers = await own.open({ keys: { primary: 'b', b } });
      const user = crypto.randomUUID();
      const data = Buffer.from(JSON.stringify({ userId: user }));
      for (const id of ['1', '3']) await store.sessions.create({ id, data, expiryDate: later() });
      await strangers.sessions.create({ id: '2', data, expiryDate: later() });
      await expect(store.sessions.deleteForUser(user)).rejects.toMatchObject({ code: 'crypto', keyId: 'b' });
      expect(await own.raw('select id from sessions')).toEqual([{ id: '2' }]);
      await own.drop();
    });

    it('are refused when somebody else wrote them as plain text, if they must be encrypted', async () => {
      const { database, backend } = subject();
      const strict = await database.open({ keys: { primary: 'a', a: generateKey() }, encryptSessions: 'required' });
      const id = newId();
      await strict.sessions.create({ id, data: ALL_BYTES, expiryDate: later() });
      expect((await strict.sessions.load(id))?.data).toEqual(ALL_BYTES);
      const literal = backend.dialect === 'sqlite' ? `x'7b7d'` : `'\\x7b7d'`;
      await database.raw(`update sessions set data = ${literal} where id = '${id}'`);
      await expect(strict.sessions.load(id)).rejects.toMatchObject({ code: 'crypto', problem: 'malformed' });
      await expect(database.open({ encryptSessions: true })).rejects.toMatchObject({ code: 'configuration' });
    });

    it('that are renewed while the expired ones are removed stay', async () => {
      const { database, backend } = subject();
      const own = await database.open({ now: () => new Date('2026-01-01T00:00:00.000Z') });
      const id = newId();
      const expired = Date.UTC(2025, 0, 1) / 1000;
      await own.sessions.create({ id, data: ALL_BYTES, expiryDate: expired });
      let removing: Promise<number> | undefined;
      await own.transaction(async (tx) => {
        await tx.sessions.save({ id, data: ALL_BYTES, expiryDate: expired + 1e9 });
        // of another store, since this one's handle may not be used inside; on SQLite it waits for the writer
        removing = (await database.open({ now: () => new Date('2026-01-01T00:00:00.000Z') })).sessions.deleteExpired();
        if (backend.dialect === 'postgres')
          while (!(await database.raw(`select 1 from pg_locks where not granted`)).length);
      });
      expect(await removing).toBe(0);
      expect(await own.sessions.load(id)).not.toBeNull();
    });
  },
  SHARED_BACKENDS,
);
