import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { rawJson, ValidationError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { HARD_JSON, newIncident } from '../support/fixtures.ts';

contract('JSON', (subject) => {
  it.each(HARD_JSON.map((value, i) => [i, value]))('round-trips hard value %i', async (_, value) => {
    // R-C2, R-C3
    const { store } = subject();
    const created = await store.incidents.create(
      newIncident({ alertData: value as object, metadata: { value: value as string } }),
    );
    const read = await store.incidents.get(created.id);
    for (const incident of [created, read]) {
      expect(incident.alertData).toStrictEqual(value);
      expect(incident.metadata).toStrictEqual({ value });
    }
  });

  it('round-trips them in bulk, as elements that are appended, and as members that are merged', async () => {
    // R-C2, R-C3
    const { store } = subject();
    const ids = await store.incidents.createMany(HARD_JSON.map((value) => newIncident({ alertData: value as object })));
    for (const [i, id] of ids.entries()) expect((await store.incidents.get(id)).alertData).toStrictEqual(HARD_JSON[i]);
    const [id = ''] = ids;
    for (const data of HARD_JSON)
      await store.incidents.addEnrichment(id, { enrichment_type: 'host_info', source: 'edr', data: data as object });
    expect((await store.incidents.get(id)).enrichments.map(({ data }) => data)).toStrictEqual(HARD_JSON);
    const members = Object.fromEntries(HARD_JSON.map((value, i) => [`${i} ${JSON.stringify(value)}`, value as string]));
    await store.incidents.mergeMetadata(id, { kept: 1, ...members });
    const merged = await store.incidents.mergeMetadata(id, { kept: { again: null } });
    expect(merged.metadata).toStrictEqual({ ...members, kept: { again: null } });
  });

  it('keeps keys such as `__proto__` in every object, also at its top', async () => {
    // R-C2
    const { store } = subject();
    const odd = (more: object) => Object.assign(JSON.parse('{"__proto__": {"a": 1}, "constructor": null}'), more);
    const { id, ...created } = await store.incidents.create(
      newIncident({
        source: odd({ siem: 's' }),
        metadata: odd({}),
        enrichments: [odd({ enrichment_type: 'e', source: 's', data: 1, timestamp: '2024-01-01' })],
      }),
    );
    expect(created).toMatchObject({ source: odd({ siem: 's' }), metadata: odd({}) });
    expect(Object.keys(created.enrichments[0] ?? {})).toContain('__proto__');
    const merged = await store.incidents.mergeMetadata(id, odd({ b: 2 }));
    expect(Object.keys(merged.metadata).sort()).toEqual(['__proto__', 'b', 'constructor']);
    expect(Object.keys((await store.incidents.update(id, { metadata: odd({}) })).metadata)).toContain('__proto__');
    await store.incidents.addEnrichment(id, odd({ enrichment_type: 'e', source: 's', data: 1 }));
    await store.incidents.setAnalysis(id, odd({ verdict: 'suspicious', confidence: 0, summary: '', risk_score: 0 }));
    const action = await store.actions.propose({
      incidentId: id,
      actionType: 'x',
      reason: 'r',
      target: odd({}),
      parameters: odd({}),
    });
    const entry = await store.auditLogs.append({ incidentId: id, action: 'x', details: odd({}) });
    const read = await store.incidents.get(id);
    for (const object of [read.enrichments[1], read.analysis, action.target, action.parameters, entry.details])
      expect(Object.keys(object as object)).toContain('__proto__');
  });

  it('keeps what rawJson holds and JavaScript cannot: every digit, every key', async () => {
    // R-C3, R-C4
    const { store } = subject();
    const text = readFileSync(new URL('../fixtures/hard-alert.json', import.meta.url), 'utf8').trim();
    const { id } = await store.incidents.create(newIncident({ alertData: rawJson(text) }));
    const [bulk = ''] = await store.incidents.createMany([newIncident({ alertData: rawJson(text) })]);
    for (const stored of [await store.incidents.alertText(id), await store.incidents.alertText(bulk)]) {
      for (const part of ['12345678901234567890123', '18446744073709551616', '1.0', '\\u0000', '\\ud83d'])
        expect(stored).toContain(part);
      expect(stored.match(/"twice"/g)).toHaveLength(2);
      expect(JSON.parse(stored)).toStrictEqual(JSON.parse(text));
    }
    expect((await store.incidents.get(id)).alertData).toStrictEqual(JSON.parse(text));
    expect((await store.incidents.list({ search: 'C:\\Temp\\é' })).items.map((incident) => incident.id)).toContain(id);
  });

  it('keeps duplicate keys of an array too', async () => {
    const { store } = subject();
    const text = '[{"a":1,"a":2},{"\ue0f0raw":3}]';
    const { id } = await store.incidents.create(newIncident({ alertData: rawJson(text) }));
    expect(await store.incidents.alertText(id)).toBe(text);
    expect((await store.incidents.get(id)).alertData).toStrictEqual(JSON.parse(text));
  });

  const cycle: Record<string, unknown> = {};
  cycle.self = { inner: [cycle] };
  let deep: unknown = 0;
  for (let i = 0; i < 200; i++) deep = [deep];

  it.each([
    ['NaN', { a: [1, Number.NaN] }, 'alertData.a[1]', 'finite'],
    ['Infinity', { a: { 'b c': Number.POSITIVE_INFINITY } }, 'alertData.a["b c"]', 'finite'],
    ['a BigInt', { a: 1n }, 'alertData.a', 'BigInt'],
    ['undefined in an array', [1, undefined], 'alertData[1]', 'undefined'],
    ['a hole in an array', Array(1), 'alertData[0]', 'undefined'],
    ['a function', { a: () => 1 }, 'alertData.a', 'function'],
    ['a symbol', { a: Symbol('s') }, 'alertData.a', 'symbol'],
    ['a Date', { a: new Date(0) }, 'alertData.a', 'plain object'],
    ['a Map', { a: new Map() }, 'alertData.a', 'plain object'],
    ['a cycle', cycle, 'alertData.self.inner[0]', 'itself'],
    ['what is too deep', deep, 'alertData', 'deeper than 128'],
    ['what is too large', 'x'.repeat(17_000_000), 'alertData', 'larger than'],
  ])('refuses %s, with its path, before anything is written', async (_, alertData, path, message) => {
    // R-C4
    const { store } = subject();
    const before = await store.incidents.count();
    const error = await store.incidents
      .create(newIncident({ alertData: alertData as object }))
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ValidationError);
    expect(error.issues[0].path.startsWith(path)).toBe(true);
    expect(error.issues[0].message).toContain(message);
    await expect(
      store.incidents.createMany([newIncident(), newIncident({ alertData: alertData as object })]),
    ).rejects.toMatchObject({ code: 'validation', issues: [{ path: expect.stringContaining(`[1].${path}`) }] });
    expect(await store.incidents.count()).toBe(before);
  });

  it('leaves out a member that is undefined, as JSON does', async () => {
    const { store } = subject();
    const { alertData } = await store.incidents.create(newIncident({ alertData: { a: undefined, b: 1 } }));
    expect(alertData).toStrictEqual({ b: 1 });
  });

  it('shares nothing of what it answers with what it was given', async () => {
    const { store } = subject();
    const alertData = { list: [1] };
    const created = await store.incidents.create(newIncident({ alertData }));
    alertData.list.push(2);
    expect(created.alertData).toStrictEqual({ list: [1] });
  });

  it('refuses in text columns what they cannot hold', async () => {
    // R-C3
    const { store } = subject();
    for (const ticketId of ['T\0', 'T\ud800', ''])
      await expect(store.incidents.create(newIncident({ ticketId }))).rejects.toMatchObject({
        code: 'validation',
        issues: [{ path: 'ticketId' }],
      });
    await expect(store.incidents.create(newIncident({ tags: ['a\0'] }))).rejects.toThrow(ValidationError);
    expect(() => store.as('a\0')).toThrow(ValidationError);
  });

  it.each(['', '{', '{"a":01}', "{'a':1}", '{"a":1e99999}', `{"a":${'1'.repeat(2000)}}`])(
    'refuses as raw JSON: %.20s',
    (text) => {
      expect(() => rawJson(text)).toThrow(ValidationError);
    },
  );

  it('does not quote a text that is not JSON', () => {
    // R-E2
    const error = (() => {
      try {
        return rawJson('{"password": hunter2}');
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain('hunter2');
  });
});
