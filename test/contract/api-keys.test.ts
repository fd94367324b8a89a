import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { NotFoundError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newUser } from '../support/fixtures.ts';
import { printed } from '../support/shown.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

contract('API keys', (subject) => {
  const issue = async (overrides: object = {}) => {
    const { store } = subject();
    const owner = await store.users.create(newUser());
    return { owner, ...{ issued: await store.apiKeys.issue({ userId: owner.id, name: 'CI', ...overrides }) } };
  };

  it('are issued with a token that is answered once, and verify it', async () => {
    // R-S7
    const { store } = subject();
    const { owner, issued } = await issue({ scopes: ['read', 'write', 'read'] });
    const { key, token } = issued;
    expect(token).toMatch(/^tw_[a-z0-9]{6}_[a-z0-9]{32}$/);
    expect(key).toEqual({
      id: expect.any(String),
      userId: owner.id,
      name: 'CI',
      keyPrefix: token.slice(0, 8),
      scopes: ['read', 'write'],
      expiresAt: null,
      lastUsedAt: null,
      createdAt: expect.any(Date),
    });
    expect(await store.apiKeys.get(key.id)).toEqual(key);
    const verified = await store.apiKeys.verify(token);
    expect(verified).toEqual({ key, owner });
    const reads = [issued, verified, await store.apiKeys.list({ user: owner.id }), await store.apiKeys.find(key.id)];
    for (const read of reads) {
      expect(printed(read)).not.toContain(token);
      expect(printed(read)).not.toContain(token.slice(10));
      expect(printed(read)).not.toContain(sha256(token));
    }
    await expect(store.apiKeys.issue({ userId: NOBODY, name: 'x' })).rejects.toMatchObject({
      code: 'foreign_key_violation',
    });
  });

  it('fail in one way: unknown, cut, longer, of another case, no text at all', async () => {
    // R-S7
    const { store } = subject();
    const { issued } = await issue();
    const { token } = issued;
    const wrong = [
      '',
      'x',
      token.slice(0, 8),
      token.slice(0, -1),
      `${token}x`,
      token.toUpperCase(),
      `${token.slice(0, -1)}${token.endsWith('a') ? 'b' : 'a'}`,
      'x'.repeat(100_000),
      `tw_\0bcdef_${'0'.repeat(32)}`,
      `tw_é${token.slice(4)}`,
      `${token}\0`,
      null,
      undefined,
      5,
    ];
    for (const one of wrong) expect(await store.apiKeys.verify(one as string)).toBeNull();
    expect(await store.apiKeys.verify(token)).not.toBeNull();
  });

  it('are refused when they have expired, are revoked, or their owner is disabled or gone', async () => {
    // R-S7
    const { store } = subject();
    const expired = await issue({ expiresAt: new Date(Date.now() - 1) });
    expect(await store.apiKeys.verify(expired.issued.token)).toBeNull();
    const future = await issue({ expiresAt: new Date(Date.now() + 60_000) });
    expect(await store.apiKeys.verify(future.issued.token)).not.toBeNull();

    const revoked = await store.apiKeys.revoke(future.issued.key.id);
    expect(revoked.expiresAt?.getTime()).toBeLessThanOrEqual(Date.now());
    expect(await store.apiKeys.verify(future.issued.token)).toBeNull();
    expect(await store.apiKeys.revoke(future.issued.key.id)).toEqual(revoked);
    await expect(store.apiKeys.revoke(NOBODY)).rejects.toBeInstanceOf(NotFoundError);

    const { owner, issued } = await issue();
    await store.users.setEnabled(owner.id, false);
    expect(await store.apiKeys.verify(issued.token)).toBeNull();
    await store.users.setEnabled(owner.id, true);
    expect(await store.apiKeys.verify(issued.token)).not.toBeNull();
    await store.users.delete(owner.id);
    expect(await store.apiKeys.verify(issued.token)).toBeNull();
    expect(await store.apiKeys.find(issued.key.id)).toBeNull();
  });

  it('are checked for a scope, and * has every one', async () => {
    const { store } = subject();
    const some = (await issue({ scopes: ['incidents:read'] })).issued;
    const all = (await issue({ scopes: ['*'] })).issued;
    const none = (await issue()).issued;
    expect(await store.apiKeys.verify(some.token, { scope: 'incidents:read' })).not.toBeNull();
    expect(await store.apiKeys.verify(some.token, { scope: 'incidents:write' })).toBeNull();
    expect(await store.apiKeys.verify(some.token, { scope: 'incidents' })).toBeNull();
    expect(await store.apiKeys.verify(all.token, { scope: 'anything' })).not.toBeNull();
    expect(await store.apiKeys.verify(none.token, { scope: 'incidents:read' })).toBeNull();
    expect(await store.apiKeys.verify(none.token)).not.toBeNull();
    await expect(store.apiKeys.verify(all.token, { scopes: ['x'] } as object)).rejects.toMatchObject({
      code: 'validation',
    });
  });

  it('are not checked without a scope where one was meant to be given', async () => {
    // F-C10
    const { store } = subject();
    const { token } = (await issue()).issued;
    for (const scope of [undefined, '', null, 0, false, [], {}])
      await expect(store.apiKeys.verify(token, { scope } as object)).rejects.toMatchObject({
        code: 'validation',
        issues: expect.arrayContaining([expect.objectContaining({ path: 'options.scope' })]),
      });
    for (const options of [null, '', 0, 'incidents:read'])
      await expect(store.apiKeys.verify(token, options as unknown as object)).rejects.toMatchObject({
        code: 'validation',
      });
    expect(await store.apiKeys.verify(token, {})).not.toBeNull();
    expect(await store.apiKeys.verify(token, undefined)).not.toBeNull();
  });

  it('record a use once a minute', async () => {
    // R-S7: the clock is the test's own
    const own = await subject().backend.create();
    let now = new Date('2026-01-01T00:00:00.000Z');
    const store = await own.open({ now: () => now });
    const owner = await store.users.create(newUser());
    const { token, key } = await store.apiKeys.issue({ userId: owner.id, name: 'k' });
    const used = async () => {
      // in a transaction it is a part of that; otherwise nobody waits for it
      await store.transaction((tx) => tx.apiKeys.verify(token));
      return (await store.apiKeys.get(key.id)).lastUsedAt?.toISOString();
    };
    expect(await used()).toBe('2026-01-01T00:00:00.000Z');
    now = new Date('2026-01-01T00:00:59.000Z');
    expect(await used()).toBe('2026-01-01T00:00:00.000Z');
    now = new Date('2026-01-01T00:01:00.000Z');
    expect(await used()).toBe('2026-01-01T00:01:00.000Z');
    now = new Date('2026-01-01T00:02:00.000Z');
    await store.apiKeys.verify(token);
    await expect.poll(async () => (await store.apiKeys.get(key.id)).lastUsedAt).toEqual(now);
    await own.drop();
  });

  it('are rotated: a new one like the old, which ends at once or after a time', async () => {
    const { store } = subject();
    const { issued } = await issue({ scopes: ['a'], expiresAt: new Date(Date.now() + 1e9) });
    const next = await store.apiKeys.rotate(issued.key.id);
    expect(next.token).not.toBe(issued.token);
    const { userId, name, scopes, expiresAt } = issued.key;
    expect(next.key).toMatchObject({ userId, name, scopes, expiresAt });
    expect(await store.apiKeys.verify(issued.token)).toBeNull();
    expect(await store.apiKeys.verify(next.token)).not.toBeNull();
    const third = await store.apiKeys.rotate(next.key.id, { graceMs: 60_000 });
    expect(await store.apiKeys.verify(next.token)).not.toBeNull();
    expect(await store.apiKeys.verify(third.token)).not.toBeNull();
    expect((await store.apiKeys.get(next.key.id)).expiresAt?.getTime()).toBeLessThan(Date.now() + 70_000);
    await expect(store.apiKeys.rotate(issued.key.id)).rejects.toMatchObject({ code: 'conflict' });
    await expect(store.apiKeys.rotate(next.key.id, { graceMs: 60_000 })).rejects.toMatchObject({ code: 'conflict' });
    await expect(store.apiKeys.rotate(NOBODY)).rejects.toBeInstanceOf(NotFoundError);
    // a grace is no expiry that a new key could have
    const lasting = await issue();
    await store.apiKeys.rotate(lasting.issued.key.id, { graceMs: 60_000 });
    await expect(store.apiKeys.rotate(lasting.issued.key.id)).rejects.toMatchObject({ code: 'conflict' });
    expect(await store.apiKeys.count({ user: lasting.owner.id })).toBe(2);
    const races = await Promise.allSettled([1, 2, 3, 4, 5, 6].map(() => store.apiKeys.rotate(third.key.id)));
    expect(races.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('are listed by owner and by whether they are active', async () => {
    // R-L1
    const { store } = subject();
    const { owner, issued } = await issue();
    const gone = await store.apiKeys.issue({ userId: owner.id, name: 'gone', expiresAt: new Date(0) });
    await issue();
    const ids = async (filter: object) => (await store.apiKeys.list(filter)).items.map(({ id }) => id);
    expect(await ids({ user: owner.id })).toEqual([gone.key.id, issued.key.id]);
    expect(await ids({ user: owner.id, active: true })).toEqual([issued.key.id]);
    expect(await ids({ user: owner.id, active: false })).toEqual([gone.key.id]);
    expect(await store.apiKeys.count({ user: NOBODY })).toBe(0);
    await expect(store.apiKeys.list({ owner: owner.id } as object)).rejects.toMatchObject({ code: 'validation' });
    expect(await store.apiKeys.delete(gone.key.id)).toBe(true);
    expect(await store.apiKeys.delete(gone.key.id)).toBe(false);
  });
});

contract(
  'API keys as they are stored',
  (subject) => {
    it('are the SHA-256 and the first 8 characters, and nothing else of the token', async () => {
      // R-S7
      const { store, database } = subject();
      const owner = await store.users.create(newUser());
      const { token, key } = await store.apiKeys.issue({ userId: owner.id, name: 'k' });
      const [row] = await database.raw(`select * from api_keys where id = '${key.id}'`);
      expect(row).toMatchObject({ key_hash: sha256(token), key_prefix: token.slice(0, 8) });
      expect(JSON.stringify(row)).not.toContain(token.slice(10));
    });

    it('record a use though a clock that was ahead has left one in the future', async () => {
      // F-I6
      const { store, database } = subject();
      const owner = await store.users.create(newUser());
      const { token, key } = await store.apiKeys.issue({ userId: owner.id, name: 'k' });
      await database.raw(`update api_keys set last_used_at = '9999-12-31T23:59:59.999Z' where id = '${key.id}'`);
      await store.apiKeys.verify(token);
      await expect
        .poll(async () => (await store.apiKeys.get(key.id)).lastUsedAt?.getFullYear(), { timeout: 25_000 })
        .toBeLessThan(9999);
    });

    it.each([
      ['tw_abc123', 'tw_abc123_0123456789abcdef0123456789abcdef'],
      ['tw_live_abc', 'tw_live_abc_0123456789abcdef0123456789abcdef'],
    ])('that the Rust services issued, under %s, verify too', async (prefix, token) => {
      // R-S7
      const { store, database } = subject();
      const owner = await store.users.create(newUser());
      const id = crypto.randomUUID();
      await database.raw(
        `insert into api_keys (id, user_id, name, key_hash, key_prefix, scopes, created_at) values ('${id}', '${owner.id}', 'rust', '${sha256(token)}', '${prefix}', '["read"]', '2024-01-01T00:00:00+00:00')`,
      );
      expect(await store.apiKeys.verify(token, { scope: 'read' })).toMatchObject({
        key: { id },
        owner: { id: owner.id },
      });
      expect(await store.apiKeys.verify(`${token}0`)).toBeNull();
    });

    it('end as they should where another writer spelled their expiry', async () => {
      // R-C7
      const { store, database, backend } = subject();
      const owner = await store.users.create(newUser());
      const issued = await store.apiKeys.issue({ userId: owner.id, name: 'CI' });
      const { id } = issued.key;
      const spell = async (at: Date, text: string) => {
        const spelled = at.toISOString().replace('T', ' ').slice(0, 19);
        await database.raw(`update api_keys set expires_at = '${spelled}${text}' where id = '${id}'`);
      };
      const active = async () => (await store.apiKeys.list({ user: owner.id, active: true })).items.length;
      const zone = backend.dialect === 'sqlite' ? '' : '+00';
      await spell(new Date(Date.now() - 5000), zone);
      expect([await active(), await store.apiKeys.verify(issued.token)]).toEqual([0, null]);
      await spell(new Date(Date.now() + 5_000), zone); // as a text, it is less than any of this day with a T
      expect(await active()).toBe(1);
      expect(await store.apiKeys.verify(issued.token)).not.toBeNull();
      await store.apiKeys.revoke(id);
      expect([await active(), await store.apiKeys.verify(issued.token)]).toEqual([0, null]);
    });

    it('are told apart when they share a prefix', async () => {
      // R-S7: all rows with the prefix are compared
      const { store, database } = subject();
      const owner = await store.users.create(newUser());
      const tokens = ['a', 'b', 'c'].map((letter) => `tw_same12_${letter.repeat(32)}`);
      for (const token of tokens)
        await database.raw(
          `insert into api_keys (id, user_id, name, key_hash, key_prefix, created_at) values ('${crypto.randomUUID()}', '${owner.id}', '${token.at(-1)}', '${sha256(token)}', '${token.slice(0, 8)}', '2024-01-01T00:00:00.000Z')`,
        );
      for (const token of tokens) expect((await store.apiKeys.verify(token))?.key.name).toBe(token.at(-1));
    });

    it('verify while a writer holds the database up, and do not wait for it', async () => {
      // R-S7: the use is recorded when there is room for it
      const { store, database } = subject();
      const owner = await store.users.create(newUser());
      const { token, key } = await store.apiKeys.issue({ userId: owner.id, name: 'k' });
      const other = await database.open({ busyTimeoutMs: 30_000 } as never).catch(() => database.open());
      let verified: unknown;
      await other.transaction(async (tx) => {
        await tx.apiKeys.revoke((await tx.apiKeys.issue({ userId: owner.id, name: 'x' })).key.id);
        verified = await store.apiKeys.verify(token);
      });
      expect(verified).toMatchObject({ key: { id: key.id } });
      await expect.poll(async () => (await store.apiKeys.get(key.id)).lastUsedAt).not.toBeNull();
    });

    it('with scopes that are no list are told, not half understood', async () => {
      // R-C6
      const { store, database } = subject();
      const owner = await store.users.create(newUser());
      const { token, key } = await store.apiKeys.issue({ userId: owner.id, name: 'k' });
      for (const scopes of ['"incidents:read"', 'null', '[1]']) {
        await database.raw(`update api_keys set scopes = '${scopes}' where id = '${key.id}'`);
        await expect(store.apiKeys.verify(token, { scope: 'incidents' })).rejects.toMatchObject({
          code: 'decode',
          column: 'scopes',
          id: key.id,
        });
      }
    });
  },
  SHARED_BACKENDS,
);
