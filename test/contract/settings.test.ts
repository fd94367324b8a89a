import { expect, it } from 'vitest';
import { z } from 'zod';
import { generateKey, NotFoundError, rawJson, secret } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { printed } from '../support/shown.ts';

contract('settings', (subject) => {
  it('of Triage Warden have types, defaults and checks', async () => {
    const { store } = subject();
    expect(await store.settings.get('general')).toEqual({
      org_name: 'My Organization',
      timezone: 'UTC',
      mode: 'supervised',
    });
    expect(await store.settings.get('rate_limits')).toEqual({
      isolate_host_hour: 10,
      disable_user_hour: 5,
      block_ip_hour: 20,
    });
    expect(await store.settings.get('llm')).toMatchObject({ provider: 'openai', api_key: null, enabled: true });
    const general = { org_name: 'Acme', timezone: 'Europe/Berlin', mode: 'autonomous' } as const;
    expect(await store.settings.set('general', general)).toEqual(general);
    expect(await store.settings.get('general')).toEqual(general);
    expect(await store.settings.update('general', { org_name: 'Acme SE', mode: undefined })).toEqual({
      ...general,
      org_name: 'Acme SE',
    });
    for (const wrong of [{ mode: 'free' }, { timezone: 'Mars/Olympus' }, { org_name: 5 }, null, 'text', []])
      await expect(store.settings.set('general', wrong as never)).rejects.toMatchObject({ code: 'validation' });
    for (const wrong of [{ isolate_host_hour: -1 }, { block_ip_hour: 1.5 }])
      await expect(store.settings.update('rate_limits', wrong)).rejects.toMatchObject({ code: 'validation' });
    expect(await store.settings.get('general')).toMatchObject({ org_name: 'Acme SE' });
    // members that others store are kept
    await store.settings.update('general', { theme: 'dark' } as object);
    expect(await store.settings.update('general', { org_name: 'A' })).toMatchObject({ theme: 'dark', org_name: 'A' });
    expect(await store.settings.delete('general')).toBe(true);
    expect(await store.settings.delete('general')).toBe(false);
    expect(await store.settings.get('general')).toMatchObject({ org_name: 'My Organization' });
    await expect(store.settings.get('unknown' as 'llm')).rejects.toMatchObject({ code: 'validation' });
    await expect(store.settings.get('toString' as 'llm')).rejects.toMatchObject({ code: 'validation' });
  });

  it('of a service are defined with a schema, in every handle', async () => {
    // R-C9
    const { store } = subject();
    const shift = store.settings.define(
      'soc_shift',
      z.object({ lead: z.string().min(1), size: z.number().int().default(3) }),
    );
    await expect(store.settings.get(shift)).rejects.toBeInstanceOf(NotFoundError);
    expect(await store.settings.set(shift, { lead: 'alice' })).toEqual({ lead: 'alice', size: 3 });
    expect(await store.settings.get(shift)).toEqual({ lead: 'alice', size: 3 });
    await store.as('bob').transaction(async (tx) => {
      expect(await tx.settings.update(shift, { size: 4 })).toEqual({ lead: 'alice', size: 4 });
    });
    await expect(store.settings.update(shift, { lead: '' })).rejects.toMatchObject({ code: 'validation' });
    await expect(store.settings.set(shift, {} as never)).rejects.toMatchObject({
      issues: [expect.objectContaining({ path: 'value.lead' })],
    });
    expect(await store.settings.get(shift)).toEqual({ lead: 'alice', size: 4 });

    const words = store.settings.define('words', z.array(z.string()).default(['initial']));
    expect(await store.settings.get(words)).toEqual(['initial']);
    await expect(store.settings.update(words, { a: 1 } as never)).rejects.toMatchObject({ code: 'validation' });
    await store.settings.set(words, []);
    expect(await store.settings.get(words)).toEqual([]);
    const whole = store.settings.define('whole', z.object({ a: z.number(), b: z.number() }).default({ a: 1, b: 2 }));
    expect(await store.settings.update(whole, { b: 5 })).toEqual({ a: 1, b: 5 });
    expect(await store.settings.get(whole)).toEqual({ a: 1, b: 5 });

    const hours = store.settings.define(
      'hours',
      z.object({ from: z.string().transform(Number), to: z.number().optional() }).default({ from: 8 }),
    );
    expect(await store.settings.get(hours)).toEqual({ from: 8 });
    expect(await store.settings.update(hours, { from: '9' })).toEqual({ from: 9 });
    expect(await store.settings.get(hours)).toEqual({ from: 9 });
    for (const patch of [new Map([['from', '1']]), new Date(), secret('x'), rawJson('{"from":"1"}'), [], null])
      await expect(store.settings.update(hours, patch as never)).rejects.toMatchObject({ code: 'validation' });
    await store.settings.delete(hours);
    expect(await store.settings.update(hours, {})).toEqual({ from: 8 });
    expect(await store.settings.raw('hours')).toBeNull();
    for (const none of [null, undefined, { key: 'x' }, 5])
      await expect(store.settings.get(none as never)).rejects.toMatchObject({ code: 'validation' });

    expect(() => store.settings.define('llm', z.any())).toThrow(expect.objectContaining({ code: 'validation' }));
    expect(() => store.settings.define('', z.any())).toThrow(expect.objectContaining({ code: 'validation' }));
    expect(() => store.settings.define('x', {} as never)).toThrow(expect.objectContaining({ code: 'validation' }));
    for (const each of [shift, words, whole]) expect(await store.settings.delete(each)).toBe(true);
  });

  it('merge atomically: of 50 updates at once, all count, also the first ones', async () => {
    // R-A5
    const { store } = subject();
    const counters = store.settings.define('counters', z.record(z.string(), z.number()).default({}));
    await Promise.all(Array.from({ length: 50 }, (_, i) => store.settings.update(counters, { [`c${i}`]: i })));
    expect(Object.keys(await store.settings.get(counters))).toHaveLength(50);
    await store.settings.delete(counters);
  });

  it('are updated while others remove them', async () => {
    const { backend } = subject();
    const own = await backend.create();
    const stores = backend.shared ? [await own.open(), await own.open()] : [await own.open()];
    for (let round = 0; round < 60; round++)
      await Promise.all(
        stores.flatMap(({ settings }) => [
          settings.update('rate_limits', { block_ip_hour: round }),
          settings.delete('rate_limits'),
        ]),
      );
    await own.drop();
  });

  it('are rolled back with their transaction', async () => {
    const { store } = subject();
    await store
      .transaction(async (tx) => {
        await tx.settings.update('rate_limits', { block_ip_hour: 1 });
        throw new Error('no');
      })
      .catch(() => {});
    expect(await store.settings.raw('rate_limits')).toBeNull();
  });

  it('are listed by key, whoever set them', async () => {
    const { store } = subject();
    const own = store.settings.define('a_service', z.unknown());
    await store.settings.set(own, ['any', { json: null }]);
    await store.settings.update('rate_limits', { block_ip_hour: 1 });
    const listed = await store.settings.list();
    expect(listed.map(({ key }) => key)).toEqual(['a_service', 'rate_limits']);
    expect(listed[0]).toEqual({ key: 'a_service', value: ['any', { json: null }], updatedAt: expect.any(Date) });
    expect(await store.settings.raw('a_service')).toEqual(listed[0]);
    expect(await store.settings.raw('nothing')).toBeNull();
    await store.settings.delete('a_service');
    await store.settings.delete('rate_limits');
  });
});

contract(
  'secrets in settings',
  (subject) => {
    it('are set, merged past, read and masked', async () => {
      // R-S1
      const { database } = subject();
      const store = await database.open({ keys: { primary: 'k', k: generateKey() } });
      const KEY = 'sk-planted-needle';
      await store.settings.update('llm', { api_key: secret(KEY), model: 'm' });
      const llm = await store.settings.get('llm');
      expect(llm.api_key?.reveal()).toBe(KEY);
      expect(printed(llm)).not.toContain('needle');
      // past it, without touching it
      const after = await store.settings.update('llm', { temperature: 1 });
      expect(after.api_key?.reveal()).toBe(KEY);
      expect((await store.settings.get('llm')).api_key?.reveal()).toBe(KEY);
      // written back as it was read
      await store.settings.set('llm', { ...(await store.settings.get('llm')), max_tokens: 5 });
      expect((await store.settings.get('llm')).api_key?.reveal()).toBe(KEY);
      const [stored] = await database.raw(`select value from settings where key = 'llm'`);
      expect(String(stored?.value)).not.toContain('needle');
      expect(JSON.parse(String(stored?.value)).api_key.$secret).toMatch(/^v1:k:/);

      for (const shown of [await store.settings.list(), await store.settings.raw('llm')]) {
        expect(JSON.stringify(shown)).toContain('"api_key":"[redacted]"');
        expect(JSON.stringify(shown)).not.toMatch(/needle|v1:k/);
      }
      await expect(store.settings.update('llm', { api_key: KEY } as never)).rejects.toMatchObject({
        issues: [{ path: 'value.api_key', message: 'is plain text: pass secret(text), or null' }],
      });
      await store.settings.update('llm', { api_key: null });
      expect((await store.settings.get('llm')).api_key).toBeNull();
    });

    it('that others stored as plain text, or left empty, are read as what they are', async () => {
      const { database, store } = subject();
      const put = (value: object) =>
        database.raw(
          `insert into settings (key, value, updated_at) values ('llm', '${JSON.stringify(value)}', '2024-01-01T00:00:00+00:00') on conflict (key) do update set value = excluded.value`,
        );
      await put({
        provider: 'openai',
        model: 'gpt-4-turbo',
        api_key: '',
        base_url: '',
        max_tokens: 4096,
        temperature: 0.1,
      });
      expect((await store.settings.get('llm')).api_key).toBeNull();
      await put({ api_key: 'plain-needle' });
      const { api_key } = await store.settings.get('llm');
      expect(api_key?.reveal()).toBe('plain-needle');
      expect(printed([api_key, await store.settings.list(), await store.settings.raw('llm')])).not.toContain('needle');
      await put({ temperature: 9 });
      await expect(store.settings.get('llm')).rejects.toMatchObject({
        code: 'decode', // R-C6
        table: 'settings',
        column: 'value',
        id: 'llm',
      });
      await store.settings.delete('llm');
    });
  },
  SHARED_BACKENDS,
);
