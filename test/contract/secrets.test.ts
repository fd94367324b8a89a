import { createCipheriv, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import {
  ConfigurationError,
  type Connector,
  CryptoError,
  generateKey,
  rawJson,
  Secret,
  secret,
} from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { type Backend, SHARED_BACKENDS, type TestDatabase } from '../support/databases.ts';
import { newIncident, newUser } from '../support/fixtures.ts';
import { everythingOf, printed } from '../support/shown.ts';

const NEEDLE = 'planted-needle-5up3r';

/** As Triage Warden's Rust services encrypt: `enc:` and base64 of nonce, ciphertext and tag, without additional data. */
function rustEncrypted(text: string, key: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(key, 'base64'), nonce);
  return `enc:${Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString('base64')}`;
}

const [k1, k2] = [generateKey(), generateKey()];
const keys = { primary: 'k1', k1 };

/** The text of a JSON column, behind the library's back. */
const stored = async (database: TestDatabase, table: string, id: string, column = 'config') =>
  String((await database.raw(`select ${column} from ${table} where id = '${id}'`))[0]?.[column]);

const store = (database: TestDatabase, table: string, id: string, text: string) =>
  database.raw(`update ${table} set config = '${text.replaceAll("'", "''")}' where id = '${id}'`);

const problem = (of: unknown) => (of as CryptoError).problem;
const thrown = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

afterEach(() => {
  delete process.env.TW_ENCRYPTION_KEY;
});

contract(
  'secrets',
  (subject) => {
    const open = (options: object = { keys }) => subject().database.open(options);

    it('are not opened with a key that is missing, as of an environment variable that is not set', async () => {
      // F-D1
      const { database } = subject();
      for (const given of [{ k1: undefined }, { k1, old: undefined }]) {
        const opening = database.open({ keys: { primary: 'k1', ...given }, migrations: 'off' });
        await expect(opening).rejects.toBeInstanceOf(ConfigurationError);
        await expect(opening).rejects.toThrow(/keys\.(k1|old) is missing/);
      }
    });

    it('are stored encrypted at any depth, and read back as what prints nothing', async () => {
      // R-S1
      const db = await open();
      const config = {
        url: 'https://vt.example',
        api_key: secret(NEEDLE),
        nested: { list: [1, { token: secret(`${NEEDLE} ü \0 "`) }, secret('')], empty: {} },
        __own: null,
      };
      const made = await db.connectors.create({ name: 'VT', connectorType: 'virus_total', config });
      for (const read of [
        made,
        await db.connectors.get(made.id),
        (await db.connectors.list({}, { sort: 'newest' })).items[0],
      ]) {
        const { api_key, nested } = (read as Connector).config as typeof config;
        expect(api_key).toBeInstanceOf(Secret);
        expect(api_key.reveal()).toBe(NEEDLE);
        expect((nested.list[1] as { token: Secret }).token.reveal()).toBe(`${NEEDLE} ü \0 "`);
        expect((nested.list[2] as Secret).reveal()).toBe('');
        expect(read?.config).toMatchObject({ url: 'https://vt.example', __own: null });
        expect(printed(read)).not.toContain(NEEDLE);
      }
      const text = await stored(subject().database, 'connectors', made.id);
      expect(text).not.toContain(NEEDLE);
      expect(JSON.parse(text).api_key).toEqual({ $secret: expect.stringMatching(/^v1:k1:[A-Za-z0-9_-]{38,}$/) });
      const channel = await db.notificationChannels.create({
        name: 'c',
        channelType: 'slack',
        config: { webhook: secret(NEEDLE) },
      });
      expect(await stored(subject().database, 'notification_channels', channel.id)).not.toContain(NEEDLE);
      expect(((await db.notificationChannels.get(channel.id)).config.webhook as Secret).reveal()).toBe(NEEDLE);
      // the same text is never the same ciphertext
      const again = await db.connectors.update(made.id, { config: { a: secret(NEEDLE), b: secret(NEEDLE) } });
      expect((again.config.a as Secret).reveal()).toBe(NEEDLE);
      const { a, b } = JSON.parse(await stored(subject().database, 'connectors', made.id));
      expect(a).not.toEqual(b);
    });

    it('print [redacted], in every way', () => {
      // R-S1
      const one = secret(NEEDLE);
      expect([String(one), `${one}`, JSON.stringify(one), inspect(one), inspect([one], { showHidden: true })]).toEqual([
        '[redacted]',
        '[redacted]',
        '"[redacted]"',
        '[redacted]',
        expect.stringContaining('[redacted]'),
      ]);
      expect(inspect({ deep: { one } }, { showHidden: true, getters: true, depth: 9 })).not.toContain(NEEDLE);
      expect(inspect(Object.assign({}, one), { showHidden: true })).not.toContain(NEEDLE);
      expect(Object.getOwnPropertyNames(one)).toEqual([]);
      expect(() => secret(5 as never)).toThrow('not a well-formed string');
      expect(() => secret('\ud800')).toThrow('not a well-formed string');
    });

    it('are refused without a key, in every environment, and nothing is written', async () => {
      // R-S2
      const db = await open({});
      const before = await db.connectors.count();
      for (const work of [
        () => db.connectors.create({ name: 'x', connectorType: 'jira', config: { token: secret(NEEDLE) } }),
        () => db.notificationChannels.create({ name: 'x', channelType: 'slack', config: { url: secret(NEEDLE) } }),
        () => db.settings.update('llm', { api_key: secret(NEEDLE) }),
      ]) {
        const error = await work().catch((caught) => caught);
        expect(error).toBeInstanceOf(CryptoError);
        expect(error).toMatchObject({ code: 'crypto', problem: 'no_key' });
        expect(everythingOf(error)).not.toContain(NEEDLE);
      }
      expect(await db.connectors.count()).toBe(before);
    });

    it('are told apart when they cannot be read: no key, unknown key, wrong key, tampered, moved', async () => {
      // R-S2
      const { database } = subject();
      const db = await open();
      const make = () =>
        db.connectors.create({
          name: 'x',
          connectorType: 'jira',
          config: { token: secret(NEEDLE), other: secret('o') },
        });
      const [one, two] = [await make(), await make()];
      const tokenOf = async (with_: object, id = one.id, member = 'token') => {
        const { config } = await (await open(with_)).connectors.get(id);
        return () => (config[member] as Secret).reveal();
      };
      expect(problem(thrown(await tokenOf({})))).toBe('no_key');
      expect(thrown(await tokenOf({ keys: { primary: 'k2', k2 } }))).toMatchObject({
        problem: 'unknown_key',
        keyId: 'k1',
      });
      expect(problem(thrown(await tokenOf({ keys: { primary: 'k1', k1: k2 } })))).toBe('not_authentic');

      const text = await stored(database, 'connectors', one.id);
      const { token, other } = JSON.parse(text) as Record<string, { $secret: string }>;
      const tampered = `${token?.$secret.slice(0, -2)}${token?.$secret.endsWith('AA') ? 'BB' : 'AA'}`;
      const attempts: [id: string, config: object, member: string, problem: string][] = [
        [one.id, { token: { $secret: tampered } }, 'token', 'not_authentic'],
        [one.id, { token: { $secret: 'v1:k1:AAAA' } }, 'token', 'not_authentic'],
        [one.id, { token: { $secret: 'v9:k1:AAAA' } }, 'token', 'malformed'],
        [one.id, { token: other }, 'token', 'not_authentic'], // from another path
        [one.id, { moved: token }, 'moved', 'not_authentic'],
        [two.id, { token }, 'token', 'not_authentic'], // from another row
      ];
      for (const [id, config, member, expected] of attempts) {
        await store(database, 'connectors', id, JSON.stringify(config));
        const error = thrown(await tokenOf({ keys }, id, member));
        expect(problem(error)).toBe(expected);
        expect((error as CryptoError).place).toBe(`connectors.config of ${id} at ${member}`);
        expect(everythingOf(error)).not.toContain(NEEDLE);
      }
      // from another table: the same row id, the same path
      const channel = await db.notificationChannels.create({ id: one.id, name: 'c', channelType: 'slack' });
      await store(database, 'notification_channels', channel.id, JSON.stringify({ token }));
      const { config } = await db.notificationChannels.get(channel.id);
      expect(problem(thrown(() => (config.token as Secret).reveal()))).toBe('not_authentic');
      // one that cannot be decrypted does not stop the rest from being read
      expect(printed(config)).toContain('[redacted]');
    });

    it('are written back as they were read: by whoever has the key, or not', async () => {
      const { database } = subject();
      const db = await open();
      const { id } = await db.connectors.create({
        name: 'x',
        connectorType: 'jira',
        config: { token: secret(NEEDLE) },
      });
      const before = await stored(database, 'connectors', id);
      for (const other of [db, await open({ keys: { primary: 'k2', k2 } }), await open({})]) {
        const { config } = await other.connectors.get(id);
        await other.connectors.update(id, { config: { ...config, url: 'u' } });
        expect(JSON.parse(await stored(database, 'connectors', id)).token).toEqual(JSON.parse(before).token);
      }
      // to another place it is encrypted anew, for which it must be readable
      const { config } = await db.connectors.get(id);
      const moved = await db.connectors.update(id, { config: { renamed: config.token } });
      expect((moved.config.renamed as Secret).reveal()).toBe(NEEDLE);
      const keyless = await open({});
      const read = await keyless.connectors.get(id);
      await expect(keyless.connectors.update(id, { config: { again: read.config.renamed } })).rejects.toMatchObject({
        problem: 'no_key',
      });
      // under a key that has been replaced, with the new one
      const rotating = await open({ keys: { primary: 'k2', k1, k2 } });
      await rotating.connectors.update(id, { config: (await rotating.connectors.get(id)).config });
      expect(JSON.parse(await stored(database, 'connectors', id)).renamed.$secret).toMatch(/^v1:k2:/);
    });

    it('that the Rust services wrote are read: at any depth, or as the whole value', async () => {
      const { database } = subject();
      const rustKey = generateKey();
      process.env.TW_ENCRYPTION_KEY = rustKey;
      const db = await open({});
      const { id } = await db.connectors.create({ name: 'x', connectorType: 'jira' });
      const config = {
        api_token: rustEncrypted(NEEDLE, rustKey),
        list: [{ deep: rustEncrypted('ü', rustKey) }],
        note: 'enc:oding',
      };
      await store(database, 'connectors', id, JSON.stringify(config));
      const read = (await db.connectors.get(id)).config as {
        api_token: Secret;
        list: { deep: Secret }[];
        note: string;
      };
      expect(read.api_token.reveal()).toBe(NEEDLE);
      expect(read.list[0]?.deep.reveal()).toBe('ü');
      expect(read.note).toBe('enc:oding');
      expect(printed(read)).not.toContain(NEEDLE);
      // written back, they are in our own form
      await db.connectors.update(id, { config: read });
      expect(JSON.parse(await stored(database, 'connectors', id)).api_token).toEqual({
        $secret: expect.stringMatching(/^v1:default:/),
      });
      expect(((await db.connectors.get(id)).config.api_token as Secret).reveal()).toBe(NEEDLE);
      await store(database, 'connectors', id, JSON.stringify({ t: rustEncrypted(NEEDLE, generateKey()) }));
      const wrong = (await db.connectors.get(id)).config.t as Secret;
      expect(problem(thrown(() => wrong.reveal()))).toBe('not_authentic');
    });

    it('cannot be confused with what is none', async () => {
      const db = await open();
      const create = (config: object) =>
        db.connectors.create({ name: 'x', connectorType: 'jira', config: config as never });
      for (const config of [
        { token: '[redacted]' }, // what JSON.stringify made of a secret, sent back by a form
        { token: { $secret: 'v1:k1:AAAA' } },
        { token: rustEncrypted('x', k1) },
        rawJson('{"token":1}'),
      ])
        await expect(create(config)).rejects.toMatchObject({ code: 'validation' });
      const fine = { $secret: 5, other: { $secret: 'v1', more: 1 }, text: 'enc:', list: ['enc:short'] };
      const { id } = await create(fine);
      expect((await db.connectors.get(id)).config).toEqual(fine);
    });

    it('are refused where they would be stored as plain text', async () => {
      // R-S2
      const db = await open();
      for (const [path, work] of [
        ['alertData.token', () => db.incidents.create(newIncident({ alertData: { token: secret(NEEDLE) } }))],
        ['metadata.t', () => db.incidents.create(newIncident({ metadata: { t: secret(NEEDLE) } as never }))],
        [
          'stages[0].t',
          () => db.playbooks.create({ name: 'p', triggerType: 'manual', stages: [{ t: secret(NEEDLE) } as never] }),
        ],
      ] as const)
        await expect(work()).rejects.toMatchObject({
          issues: [{ path, message: 'is a secret, which this column does not store' }],
        });
    });

    it('do not show in the store, its options, or any audit entry', async () => {
      // R-S1, R-E2
      const db = await open();
      const { id } = await db.incidents.create(newIncident());
      const rows = await db.auditLogs.list({ incidentId: id });
      for (const shown of [db, db.as('alice'), db.connectors, db.settings, db.users, rows].map((value) =>
        inspect(value, { depth: 12, showHidden: true }),
      )) {
        expect(shown.length).toBeLessThan(2000);
        expect(shown).not.toContain(k1);
        expect(shown).not.toContain(Buffer.from(k1, 'base64').toString('hex').slice(0, 16));
      }
    });
  },
  SHARED_BACKENDS,
);

/** Connectors, a channel, a setting and a session, all under k1, and what the Rust services wrote. */
async function seeded(backend: Backend) {
  const database = await backend.create();
  const db = await database.open({ keys });
  const ids: string[] = [];
  for (let i = 0; i < 25; i++) {
    const config = i % 5 === 4 ? { plain: i } : { n: i, token: secret(`t${i}`), deep: [{ second: secret(`s${i}`) }] };
    ids.push((await db.connectors.create({ name: `c${i}`, connectorType: 'jira', config })).id);
  }
  const rust = await db.connectors.create({ name: 'rust', connectorType: 'jira' });
  await store(
    database,
    'connectors',
    rust.id,
    `{"big": 9007199254740993, "token": "${rustEncrypted('from rust', k1)}", "list": ["${rustEncrypted('again', k1)}", 1.50]}`,
  );
  await db.notificationChannels.create({ name: 'c', channelType: 'slack', config: { url: secret('hook') } });
  await db.settings.update('llm', { api_key: secret('llm key') });
  await db.sessions.create({ id: 'session', data: Buffer.from('data'), expiryDate: new Date(Date.now() + 3_600_000) });
  return { database, db, ids, rust: rust.id };
}

contract(
  'rotation of keys',
  (subject) => {
    it('encrypts everything anew, in batches, and is done when it is done', async () => {
      // R-S3
      const { database, ids, rust } = await seeded(subject().backend);
      const before = (await (await database.open({ keys })).connectors.get(ids[0] as string)).updatedAt;
      const db = await database.open({ keys: { primary: 'k2', k1, k2 } });
      const dry = await db.rotateSecrets({ dryRun: true });
      expect(dry).toEqual({ scanned: 29, rotated: 24, failed: 0, failures: [] });
      expect(await stored(database, 'connectors', ids[0] as string)).toContain('v1:k1:');
      const progress: number[] = [];
      const done = await db.rotateSecrets({ batchSize: 7, onProgress: ({ scanned }) => progress.push(scanned) });
      expect(done).toEqual(dry);
      expect(progress).toEqual([7, 14, 21, 26, 27, 28, 29]);
      expect(await db.rotateSecrets()).toEqual({ scanned: 29, rotated: 0, failed: 0, failures: [] });

      const after = await database.open({ keys: { primary: 'k2', k2 } }); // the old key is gone
      for (const [i, id] of ids.entries()) {
        const { config, updatedAt } = await after.connectors.get(id);
        if (i % 5 === 4) expect(config).toEqual({ plain: i });
        else {
          expect((config.token as Secret).reveal()).toBe(`t${i}`);
          expect((config.deep as unknown as { second: Secret }[])[0]?.second.reveal()).toBe(`s${i}`);
        }
        if (i === 0) expect(updatedAt).toEqual(before); // no edit
      }
      const { config } = await after.connectors.get(rust);
      expect((config.token as Secret).reveal()).toBe('from rust');
      expect((config.list as unknown as Secret[])[0]?.reveal()).toBe('again');
      // to the last digit
      const text = await stored(database, 'connectors', rust);
      expect(text).toMatch(/9007199254740993/);
      expect(text).not.toMatch(/enc:|v1:k1:/);
      expect((await after.settings.get('llm')).api_key?.reveal()).toBe('llm key');
      expect(Buffer.from((await after.sessions.load('session'))?.data ?? []).toString()).toBe('data');
      await database.drop();
    });

    it('loses nothing that others write meanwhile, and can be interrupted', async () => {
      // R-S3: writers with the old primary key and the new one, over and over, while it runs
      const { database, db: old, ids } = await seeded(subject().backend);
      const db = await database.open({ keys: { primary: 'k2', k1, k2 } });
      const interrupted = db.rotateSecrets({
        batchSize: 3,
        onProgress: ({ scanned }) => {
          if (scanned >= 9) throw new Error('interrupted');
        },
      });
      await expect(interrupted).rejects.toThrow('interrupted');

      let writes = 0;
      let stop = false;
      const wanted = new Map<string, string>();
      const writer = async (through: typeof db, offset: number) => {
        for (let i = 0; !stop; i++) {
          const id = ids[(i * 2 + offset) % 20] as string;
          const text = `written ${offset} ${i}`;
          await through.connectors.update(id, { config: { token: secret(text) } });
          wanted.set(id, text);
          writes++;
        }
      };
      const writing = [writer(old, 0), writer(db, 1)];
      for (let round = 0; round < 3; round++) await db.rotateSecrets({ batchSize: 2 });
      stop = true;
      await Promise.all(writing);
      await db.rotateSecrets();
      expect(writes).toBeGreaterThan(10);
      const after = await database.open({ keys: { primary: 'k2', k2 } });
      for (const [id, text] of wanted)
        expect(((await after.connectors.get(id)).config.token as Secret).reveal()).toBe(text);
      await database.drop();
    });

    it('tells what it cannot read, and leaves it as it is', async () => {
      const { database, ids } = await seeded(subject().backend);
      const bad = ids[3] as string;
      // one that can be renewed stands beside; an object that only looks like a secret is none
      const { config } = await (await database.open({ keys })).connectors.get(bad);
      expect(config.n).toBe(3);
      const text = JSON.parse(await stored(database, 'connectors', bad));
      await store(
        database,
        'connectors',
        bad,
        JSON.stringify({
          ...text,
          lost: { $secret: 'v1:lost:AAAA' },
          cut: { $secret: 'v1:k1' },
          none: { $secret: 'v1:k1:AAAA', more: 1 },
        }),
      );
      await store(database, 'connectors', ids[4] as string, `{"huge": 1e999, "token": ${JSON.stringify(text.token)}}`);
      if (subject().backend.dialect === 'sqlite') {
        await store(database, 'connectors', ids[9] as string, '{"broken');
        await database.raw(`insert into sessions (id, data, expiry_date) values ('', 'text', 1)`);
      }
      const db = await database.open({ keys: { primary: 'k2', k1, k2 } });
      const done = await db.rotateSecrets();
      expect(done.failures).toContainEqual({
        table: 'connectors',
        id: bad,
        problem: expect.stringMatching(/^(unknown_key|malformed)$/), // the first in the order of the text
      });
      expect(done.failures).toContainEqual({ table: 'connectors', id: ids[4], problem: 'not_authentic' }); // moved there
      if (subject().backend.dialect === 'sqlite') {
        expect(done.failures).toContainEqual({ table: 'connectors', id: ids[9], problem: 'unreadable' });
        expect(done.failures).toContainEqual({ table: 'sessions', id: '', problem: 'unreadable' });
      }
      expect(done.failed).toBe(subject().backend.dialect === 'sqlite' ? 4 : 2);
      const after = JSON.parse(await stored(database, 'connectors', bad));
      expect(after).toMatchObject({
        n: 3,
        lost: { $secret: 'v1:lost:AAAA' },
        cut: { $secret: 'v1:k1' },
        none: { more: 1 },
      });
      expect(after.token.$secret).toMatch(/^v1:k2:/);
      expect(await db.rotateSecrets({ batchSize: 1 })).toMatchObject({ rotated: 0, failed: done.failed });
      await expect((await database.open()).rotateSecrets()).rejects.toMatchObject({
        code: 'crypto',
        problem: 'no_key',
      });
      await expect(db.rotateSecrets({ batch: 5 } as object)).rejects.toMatchObject({ code: 'validation' });
      await database.drop();
    });
  },
  SHARED_BACKENDS,
);

contract('planted secrets', (subject) => {
  it('show in no error of any call that they go through', async () => {
    // R-E2, R-S1, R-S4, R-S7: a secret, a hash and a token, in places where they make the call fail
    const db = await subject().backend.create();
    const own = await db.open({ keys });
    const user = await own.users.create(newUser());
    const { token } = await own.apiKeys.issue({ userId: user.id, name: 'k' });
    const HASH = `$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21l$${NEEDLE.replace(/[^a-z0-9]/g, '')}needleneedle`;
    const attempts: (() => Promise<unknown>)[] = [
      () => own.connectors.create({ name: 'x'.repeat(300), connectorType: 'jira', config: { t: secret(NEEDLE) } }),
      () => own.connectors.create({ id: user.id, name: 'x', connectorType: NEEDLE.repeat(9), config: {} }),
      () => own.connectors.create({ name: 'x', connectorType: 'jira', config: { bad: Number.NaN, t: secret(NEEDLE) } }),
      () => own.connectors.update(user.id, { config: { t: secret(NEEDLE) } }),
      () => own.settings.set('llm', { api_key: NEEDLE } as never),
      () => own.users.create(newUser({ username: user.username, passwordHash: HASH })),
      () => own.users.create(newUser({ passwordHash: `${HASH}!` })),
      () => own.users.setPasswordHash(user.id, `${HASH}!`),
      () => own.users.setPasswordHash('00000000-0000-7000-8000-000000000000', HASH),
      () => own.users.findByEmail(`${NEEDLE}\0`),
      () => own.users.credentials(`${NEEDLE}\0`),
      () => own.apiKeys.issue({ userId: '00000000-0000-7000-8000-000000000000', name: NEEDLE }),
      () => own.apiKeys.verify(token, { scope: `${NEEDLE}\0` }),
      () => own.sessions.create({ id: `${NEEDLE}\0`, data: Buffer.from(NEEDLE), expiryDate: 1 }),
      () => own.sessions.create({ id: 'x', data: NEEDLE as never, expiryDate: 1 }),
    ];
    for (const attempt of attempts) {
      const error = await attempt().then(
        () => undefined,
        (caught) => caught,
      );
      expect(error, String(attempt)).toBeInstanceOf(Error);
      expect(everythingOf(error), String(attempt)).not.toContain(NEEDLE);
      expect(everythingOf(error), String(attempt)).not.toContain('needleneedle');
      expect(everythingOf(error), String(attempt)).not.toContain(token.slice(10));
    }
    await db.drop();
  });
});
