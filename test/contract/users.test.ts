import { hash, verify } from '@node-rs/argon2';
import { expect, it } from 'vitest';
import { NotFoundError, USER_ROLES, type UserFilter } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { HASH, newUser } from '../support/fixtures.ts';
import { everythingOf, printed } from '../support/shown.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';

contract('users', (subject) => {
  it('are created, read, changed and removed, without the hash', async () => {
    // R-S4, R-E3, R-E4
    const { store } = subject();
    const input = newUser({ displayName: 'Alice A.' });
    const user = await store.users.create(input);
    const { passwordHash, ...rest } = input;
    expect(user).toEqual({
      ...rest,
      id: expect.any(String),
      enabled: true,
      lastLoginAt: null,
      createdAt: expect.any(Date),
      updatedAt: user.createdAt,
    });
    expect(await store.users.get(user.id)).toEqual(user);
    const reads = [
      user,
      await store.users.find(user.id),
      await store.users.list({ search: user.username }),
      await store.users.listPage({ search: user.username }),
      await store.users.findByEmail(user.email),
      await store.users.update(user.id, { displayName: null, role: 'viewer' }),
      await store.users.recordLogin(user.id),
      await store.users.setPasswordHash(user.id, HASH),
    ];
    for await (const row of store.users.stream({ search: user.username })) reads.push(row);
    for (const read of reads) expect(printed(read)).not.toContain('argon2');
    const after = await store.users.get(user.id);
    expect(after).toMatchObject({ displayName: null, role: 'viewer', lastLoginAt: expect.any(Date) });
    await expect(
      store.users.update(user.id, { role: 'analyst' }, { ifUpdatedAt: user.updatedAt }),
    ).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(await store.users.update(user.id, {})).toEqual(after);
    expect(await store.users.delete(user.id)).toBe(true);
    expect(await store.users.delete(user.id)).toBe(false);
    for (const call of [
      () => store.users.update(NOBODY, { role: 'viewer' }),
      () => store.users.update(NOBODY, { displayName: 'x' }),
      () => store.users.setEnabled(NOBODY, false),
      () => store.users.setPasswordHash(NOBODY, HASH),
      () => store.users.recordLogin(NOBODY),
    ])
      await expect(call()).rejects.toBeInstanceOf(NotFoundError);
  });

  it('give the hash to credentials alone, and nothing prints it there either', async () => {
    // R-S4: with a real Argon2
    const { store } = subject();
    const passwordHash = await hash('correct horse');
    const input = newUser({ passwordHash });
    const user = await store.users.create(input);
    for (const name of [input.username, input.email, input.username.toUpperCase(), input.email.toUpperCase()]) {
      const found = await store.users.credentials(name);
      expect(found).toEqual(user);
      expect(found?.passwordHash).toBe(passwordHash);
      expect(await verify(found?.passwordHash ?? '', 'correct horse')).toBe(true);
      expect(printed(found)).not.toContain('argon2');
    }
    expect(await store.users.credentials('nobody')).toBeNull();
    const other = await hash('another');
    await store.users.setPasswordHash(user.id, other);
    expect((await store.users.credentials(input.username))?.passwordHash).toBe(other);
    // one user's name is another's address: the address counts
    await store.users.create(newUser({ username: input.email }));
    expect((await store.users.credentials(input.email))?.id).toBe(user.id);
  });

  it.each([
    '',
    'password',
    '5f4dcc3b5aa765d61d8327deb882cf99',
    '$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW',
    '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$c2hvcnQ',
    `${HASH}\n`,
    `${HASH}\0`,
    `$argon2id$v=19$m=1,t=2$${'a'.repeat(22)}$${'b'.repeat(43)}`,
  ])('refuse %j in place of an Argon2 hash, without quoting it', async (bad) => {
    // R-S4, R-E2
    const { store } = subject();
    const { id } = await store.users.create(newUser());
    for (const call of [
      () => store.users.create(newUser({ passwordHash: bad })),
      () => store.users.setPasswordHash(id, bad),
    ]) {
      const error = await call().catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'validation' });
      if (bad.length > 8) expect(everythingOf(error)).not.toContain(bad.trim());
    }
    await expect(store.users.update(id, { passwordHash: HASH } as object)).rejects.toMatchObject({
      code: 'validation',
    });
  });

  it.each([
    `$argon2i$v=19$m=65536,t=3,p=4$${'A'.repeat(22)}$${'b'.repeat(43)}`,
    `$argon2d$m=65536,t=3,p=4$${'A'.repeat(11)}$${'b'.repeat(16)}`,
    `$argon2id$v=19$m=65536,t=3,p=4,keyid=aGk,data=ZGF0YQ$${'A'.repeat(22)}$${'b'.repeat(86)}`,
  ])('take %s for one', async (passwordHash) => {
    const { store } = subject();
    const input = newUser({ passwordHash });
    await store.users.create(input);
    expect((await store.users.credentials(input.username))?.passwordHash).toBe(passwordHash);
  });

  it('are unique without regard to case, also when they come at once', async () => {
    // R-S5, R-E1
    const { store } = subject();
    const input = newUser();
    const user = await store.users.create(input);
    const upper = (text: string) => text.toUpperCase();
    for (const [column, same] of [
      ['email', { email: upper(input.email) }],
      ['email', { email: input.email }],
      ['username', { username: upper(input.username) }],
      ['username', { username: input.username }],
    ] as const)
      await expect(store.users.create(newUser(same))).rejects.toMatchObject({
        code: 'unique_violation',
        table: 'users',
        columns: [column],
      });
    const other = await store.users.create(newUser());
    await expect(store.users.update(other.id, { username: upper(input.username) })).rejects.toMatchObject({
      code: 'unique_violation',
      columns: ['username'],
    });
    // its own, in another case, is no other's
    expect(await store.users.update(user.id, { username: upper(input.username) })).toMatchObject({
      username: upper(input.username),
    });
    expect((await store.users.findByUsername(input.username))?.id).toBe(user.id);
    expect((await store.users.findByEmail(upper(input.email)))?.id).toBe(user.id);
    expect(await store.users.findByEmail('nobody@example.com')).toBeNull();

    const name = `racer-${crypto.randomUUID()}`;
    const races = await Promise.allSettled(
      [name, upper(name), `R${name.slice(1)}`, name].map((username) => store.users.create(newUser({ username }))),
    );
    expect(races.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await store.users.count({ search: name })).toBe(1);
  });

  it('have one spelling beyond ASCII, where databases fold differently', async () => {
    // R-S5
    const { store } = subject();
    const id = crypto.randomUUID();
    const user = await store.users.create(newUser({ username: `björk-${id}` }));
    expect((await store.users.findByUsername(`BJÖRK-${id}`))?.id).toBe(user.id);
    expect((await store.users.credentials(`Björk-${id}`))?.id).toBe(user.id);
    for (const username of [
      `BJÖRK-${id}`,
      `ﬁn-${id}`,
      ` pad-${id}`,
      `pad-${id} `,
      `zero\u200bwidth-${id}`,
      'new\nline',
    ])
      await expect(store.users.create(newUser({ username }))).rejects.toMatchObject({
        issues: [expect.objectContaining({ path: 'username' })],
      });
    for (const email of ['no-at', 'a b@example.com', '@', 'Ä@example.com'])
      await expect(store.users.create(newUser({ email }))).rejects.toMatchObject({ code: 'validation' });
  });

  it('record logins by the clock of the store: none in the future is taken, and none that stands blocks the next', async () => {
    // F-I6
    const { store, backend, database } = subject();
    const { id } = await store.users.create(newUser());
    await expect(store.users.recordLogin(id, new Date(Date.now() + 3_600_000))).rejects.toMatchObject({
      code: 'validation',
      issues: [{ path: 'at' }],
    });
    expect((await store.users.get(id)).lastLoginAt).toBeNull();
    if (!backend.shared) return;
    await database.raw(`update users set last_login_at = '9999-12-31T23:59:59.999Z' where id = '${id}'`);
    const now = (await store.users.recordLogin(id)).lastLoginAt?.getTime() ?? 0;
    expect(Math.abs(now - Date.now())).toBeLessThan(60_000);
  });

  it('record the latest login, which is no edit', async () => {
    const { store } = subject();
    const user = await store.users.create(newUser());
    const at = new Date('2026-05-05T05:05:05.555Z');
    expect(await store.users.recordLogin(user.id, at)).toEqual({ ...user, lastLoginAt: at });
    expect((await store.users.recordLogin(user.id, new Date(at.getTime() - 5))).lastLoginAt).toEqual(at);
  });

  it.each<[UserFilter, object, object]>([
    [{ role: 'viewer' }, { role: 'viewer' }, { role: 'analyst' }],
    [{ role: ['viewer', 'admin'] }, { role: 'admin' }, { role: 'analyst' }],
    [{ enabled: false }, { enabled: false }, { enabled: true }],
    [{ search: '_x%' }, { displayName: 'a _X% b' }, { displayName: 'a yxz b' }],
    [{ search: 'find-me@' }, { email: `find-me@${crypto.randomUUID()}` }, {}],
    [{ search: 'FINDABLE' }, { username: `findable-${crypto.randomUUID()}` }, {}],
  ])('%j finds who fits and passes over who does not', async (filter, matching, other) => {
    // R-L1, R-L2
    const { store } = subject();
    const before = await store.users.count(filter);
    const fits = await store.users.create(newUser(matching));
    await store.users.create(newUser(other));
    expect(await store.users.count(filter)).toBe(before + 1);
    expect((await store.users.list(filter, { sort: 'newest', limit: 1 })).items[0]?.id).toBe(fits.id);
  });

  it('round-trip every role', async () => {
    // R-C5
    const { store } = subject();
    for (const role of USER_ROLES) expect(await store.users.create(newUser({ role }))).toMatchObject({ role });
  });
});

contract('the last admin', (subject) => {
  it('cannot be removed, disabled or demoted', async () => {
    // R-S6
    const own = await subject().backend.create();
    const store = await own.open();
    const admin = await store.users.create(newUser({ role: 'admin' }));
    await store.users.create(newUser({ role: 'admin', enabled: false }));
    const attempts = [
      () => store.users.delete(admin.id),
      () => store.users.update(admin.id, { enabled: false }),
      () => store.users.update(admin.id, { role: 'viewer' }),
      () => store.users.setEnabled(admin.id, false),
      () => store.transaction((tx) => tx.users.delete(admin.id)),
    ];
    for (const attempt of attempts)
      await expect(attempt()).rejects.toMatchObject({ code: 'conflict', reason: 'it is the last enabled admin' });
    await store.users.update(admin.id, { role: 'admin', enabled: true, displayName: 'Still here' });
    const second = await store.users.create(newUser({ role: 'admin' }));
    await store.users.update(admin.id, { role: 'viewer' });
    expect(await store.users.count({ role: 'admin', enabled: true })).toBe(1);
    await expect(store.users.setEnabled(second.id, false)).rejects.toMatchObject({ code: 'conflict' });
    await own.drop();
  });

  it('stays, whoever comes at once', async () => {
    // R-S6: ten admins, each taken away at the same moment, by another way
    const own = await subject().backend.create();
    const stores = subject().backend.shared ? [await own.open(), await own.open()] : [await own.open()];
    for (let round = 0; round < 3; round++) {
      const [store] = stores as [(typeof stores)[number]];
      const admins = [];
      for (let i = 0; i < 10; i++) admins.push(await store.users.create(newUser({ role: 'admin' })));
      const outcomes = await Promise.allSettled(
        admins.map(({ id }, i) => {
          const { users } = stores[i % stores.length] as (typeof stores)[number];
          return i % 3 === 0
            ? users.delete(id)
            : i % 3 === 1
              ? users.update(id, { role: 'viewer' })
              : users.setEnabled(id, false);
        }),
      );
      const refused = outcomes.filter(({ status }) => status === 'rejected');
      expect(await store.users.count({ role: 'admin', enabled: true })).toBe(1);
      if (round === 0) expect(refused).toHaveLength(1);
      for (const outcome of refused) expect(outcome).toMatchObject({ reason: { code: 'conflict' } });
    }
    await own.drop();
  });

  it('is made once by ten that ensure it at once', async () => {
    // R-S6
    const own = await subject().backend.create();
    const stores = subject().backend.shared ? [await own.open(), await own.open()] : [await own.open()];
    const { role, ...admin } = newUser();
    expect(role).toBe('analyst');
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        (stores[i % stores.length] as (typeof stores)[number]).users.ensureAdmin(admin),
      ),
    );
    expect(results.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(results.map(({ user }) => user.id)).size).toBe(1);
    const [store] = stores as [(typeof stores)[number]];
    expect(await store.users.count()).toBe(1);
    // others that are asked for do not come besides
    const different = await store.users.ensureAdmin({ ...admin, email: 'x@example.com', username: 'x' });
    expect(different).toMatchObject({ created: false, user: { username: admin.username } });
    // the name of someone who is no admin is not taken over
    const elsewhere = await subject().backend.create();
    const fresh = await elsewhere.open();
    await fresh.users.create({ ...admin, role: 'viewer' });
    await expect(fresh.users.ensureAdmin(admin)).rejects.toMatchObject({ code: 'unique_violation' });
    await own.drop();
    await elsewhere.drop();
  });
});

contract(
  'users as they are stored',
  (subject) => {
    it('are found by other writers’ spelling', async () => {
      const { store, database } = subject();
      const id = crypto.randomUUID();
      await database.raw(
        `insert into users (id, email, username, password_hash, role, created_at, updated_at) values ('${id}', 'Rust@Example.com', 'RustUser', '${HASH}', 'analyst', '2024-01-01T00:00:00+00:00', '2024-01-01T00:00:00+00:00')`,
      );
      expect((await store.users.findByUsername('rustuser'))?.id).toBe(id);
      expect((await store.users.credentials('rust@example.com'))?.passwordHash).toBe(HASH);
      await database.raw(`update users set username = 'Émile', email = 'É@x.io' where id = '${id}'`);
      expect((await store.users.findByUsername('Émile'))?.id).toBe(id);
      expect((await store.users.credentials('É@x.io'))?.id).toBe(id);
    });
  },
  SHARED_BACKENDS,
);
