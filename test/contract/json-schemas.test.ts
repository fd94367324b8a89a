import * as v from 'valibot';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { generateKey, rawJson, Secret, type StandardSchema, secret } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newIncident, trailOf } from '../support/fixtures.ts';
import { everythingOf } from '../support/shown.ts';

const NEEDLE = 'planted-needle';
const Alert = z.object({ rule: z.string(), score: z.number().int().max(100), seen: z.string().optional() });
const json = {
  incidents: {
    alertData: Alert,
    metadata: z.looseObject({ shift: z.enum(['day', 'night']).default('day'), note: z.string().optional() }),
    enrichments: z.array(z.looseObject({ source: z.enum(['vt', 'whois']) })),
    analysis: z.looseObject({ verdict: z.string(), model_version: z.string() }),
    proposedActions: z.array(z.looseObject({ action_type: z.literal('block_ip') })),
    source: z.object({ siem: z.enum(['splunk', 'sentinel']) }),
  },
  actions: {
    target: z.object({ ip_address: z.ipv4() }),
    parameters: z.object({ ttl: z.number().default(60) }),
    result: z.object({ ok: z.boolean() }),
  },
  playbooks: { stages: z.array(z.object({ name: z.string() })) },
  // another validator, whose messages quote what it got
  connectors: { config: v.looseObject({ url: v.pipe(v.string(), v.url()), token: v.optional(v.instance(Secret)) }) },
  notificationChannels: { config: z.object({ channel: z.string().startsWith('#') }) },
};

const incident = { source: { siem: 'splunk' }, severity: 'low', alertData: { rule: 'r', score: 1 } } as const;
const failing = { code: 'validation' };

contract('the caller’s own types of JSON columns', (subject) => {
  const open = async () => {
    const database = await subject().backend.create();
    return { database, store: await database.open({ json, keys: { primary: 'k', k: generateKey() } } as never) };
  };

  it('are what inputs of incidents are checked against, before anything is written', async () => {
    // R-C9
    const { store, database } = await open();
    const made = await store.incidents.create(incident);
    expect(made.alertData).toEqual({ rule: 'r', score: 1 });
    expect(made.metadata).toEqual({ shift: 'day' }); // the schema's default, on reading
    const wrong: [path: string, work: () => Promise<unknown>][] = [
      ['alertData.score', () => store.incidents.create({ ...incident, alertData: { rule: 'r', score: 'x' } })],
      ['[1].alertData.rule', () => store.incidents.createMany([incident, { ...incident, alertData: { score: 1 } }])],
      ['alertData.score', () => store.incidents.update(made.id, { alertData: { rule: 'r', score: 101 } })],
      [
        'alertData.score',
        () => store.incidents.create({ ...incident, alertData: rawJson('{"rule":"r","score":1e3}') }),
      ],
      ['source.siem', () => store.incidents.create({ ...incident, source: { siem: 'qradar' } })],
      ['source.siem', () => store.incidents.update(made.id, { source: { siem: 'qradar' } })],
      ['metadata.shift', () => store.incidents.create({ ...incident, metadata: { shift: 'noon' } })],
      ['metadata.shift', () => store.incidents.update(made.id, { metadata: { shift: 'noon' } })],
      ['metadata.shift', () => store.incidents.mergeMetadata(made.id, { shift: 'noon' })],
      [
        'enrichments[0].source',
        () => store.incidents.addEnrichment(made.id, { enrichment_type: 'whois', source: 'x', data: 1 }),
      ],
      [
        'analysis.model_version',
        () =>
          store.incidents.setAnalysis(made.id, { verdict: 'suspicious', confidence: 1, summary: '', risk_score: 1 }),
      ],
      [
        'proposedActions[0].action_type',
        () => store.incidents.proposeAction(made.id, { action_type: 'x', reason: '' }),
      ],
    ];
    for (const [path, work] of wrong)
      await expect(work(), path).rejects.toMatchObject({ ...failing, issues: [expect.objectContaining({ path })] });
    expect(await store.incidents.count()).toBe(1);
    expect(await trailOf(store, made.id)).toHaveLength(1);

    await store.incidents.addEnrichment(made.id, { enrichment_type: 'whois', source: 'vt', data: 1 });
    await store.incidents.setAnalysis(made.id, {
      verdict: 'suspicious',
      confidence: 1,
      summary: '',
      risk_score: 1,
      model_version: 'm',
    });
    await store.incidents.proposeAction(made.id, { action_type: 'block_ip', reason: '' });
    await store.incidents.mergeMetadata(made.id, { note: 'n' });
    const merged = await store.incidents.mergeMetadata(made.id, { shift: 'night' });
    expect(merged.metadata).toEqual({ note: 'n', shift: 'night' });
    expect(merged.analysis).toMatchObject({ model_version: 'm' });
    await expect(
      store.incidents.mergeMetadata('00000000-0000-7000-8000-000000000000', { note: 'n' }),
    ).rejects.toMatchObject({ code: 'not_found' });
    await database.drop();
  });

  it('hold in every handle, and for actions, playbooks, connectors and channels', async () => {
    // R-C9
    const { store, database } = await open();
    const { id: incidentId } = await store.incidents.create(incident);
    const action = { incidentId, actionType: 'block_ip', target: { ip_address: '192.0.2.1' }, reason: 'r' };
    await store.as('alice').transaction(async (tx) => {
      const made = await tx.actions.propose(action);
      expect(made.parameters).toEqual({ ttl: 60 });
      await tx.actions.approve(made.id);
    });
    for (const wrong of [{ target: { ip_address: 'x' } }, { parameters: { ttl: 'x' } }])
      await expect(store.as('bob').actions.propose({ ...action, ...wrong })).rejects.toMatchObject(failing);
    // a lease is no result yet
    const [claimed] = await store.actions.claim({ worker: 'w' });
    expect(claimed?.result).toEqual({ lease: claimed?.lease });
    const lease = claimed?.lease.token as string;
    await expect(store.actions.complete(claimed?.id ?? '', { lease, result: { ok: 'yes' } })).rejects.toMatchObject(
      failing,
    );
    expect(await store.actions.complete(claimed?.id ?? '', { lease, result: { ok: true } })).toMatchObject({
      result: { ok: true },
    });

    await expect(
      store.playbooks.create({ name: 'p', triggerType: 'manual', stages: [{ nmae: 'x' }] }),
    ).rejects.toMatchObject(failing);
    const playbook = await store.playbooks.create({
      name: 'p',
      triggerType: 'manual',
      stages: [{ name: 'x', other: 1 }],
    });
    expect(playbook.stages).toEqual([{ name: 'x' }]); // what the schema makes of it
    await expect(store.playbooks.update(playbook.id, { stages: [{}] })).rejects.toMatchObject(failing);
    await expect(
      store.notificationChannels.create({ name: 'c', channelType: 'slack', config: { channel: 'soc' } }),
    ).rejects.toMatchObject(failing);

    const connector = await store.connectors.create({
      name: 'c',
      connectorType: 'own',
      config: { url: 'https://example.com', token: secret('t') },
    });
    expect((connector.config.token as Secret).reveal()).toBe('t');
    const error = await store.connectors.update(connector.id, { config: { url: NEEDLE } }).catch((caught) => caught);
    expect(error).toMatchObject({ ...failing, issues: [{ path: 'config.url', message: 'does not fit its schema' }] });
    expect(everythingOf(error)).not.toContain(NEEDLE);
    await expect(store.connectors.create({ name: 'c', connectorType: 'own' })).rejects.toMatchObject(failing);
    await database.drop();
  });

  it('hold for a list as a whole: what does not fit is refused, and not written', async () => {
    // R-C9
    const { backend } = subject();
    const database = await backend.create();
    const enrichments = z.array(z.looseObject({})).max(2).default([]);
    const store = await database.open({ json: { incidents: { enrichments } } } as never);
    const { id } = await store.incidents.create(newIncident());
    const add = () => store.incidents.addEnrichment(id, { enrichment_type: 'whois', source: 's', data: 1 });
    const outcomes = await Promise.allSettled([add(), add(), add()]);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    await expect(add()).rejects.toMatchObject({ code: 'validation', issues: [{ path: 'enrichments' }] });
    expect((await store.incidents.get(id)).enrichments).toHaveLength(2);
    expect(await trailOf(store, id)).toHaveLength(3);
    await database.drop();
  });

  it('are given at once: a schema that answers later, or throws, is told', async () => {
    const { database } = subject();
    const later = z.string().refine(async () => true);
    const store = await database.open({ json: { incidents: { alertData: later } } } as never);
    await expect(store.incidents.create(newIncident({ alertData: 'x' }))).rejects.toMatchObject({
      code: 'configuration',
    });
    const throwing: StandardSchema = {
      '~standard': {
        version: 1,
        vendor: 'own',
        validate: (text) => {
          throw new Error(String(text));
        },
      },
    };
    const other = await database.open({ json: { incidents: { alertData: throwing } } } as never);
    const error = await other.incidents.create(newIncident({ alertData: NEEDLE })).catch((caught) => caught);
    expect(error).toMatchObject(failing);
    expect(everythingOf(error)).not.toContain(NEEDLE);
    const promiseLike = Object.defineProperty({}, 'then', { value: () => {} }); // of another realm's promises
    const thenable = { '~standard': { version: 1, vendor: 'own', validate: () => promiseLike } };
    const third = await database.open({ json: { incidents: { alertData: thenable } } } as never);
    await expect(third.incidents.create(newIncident())).rejects.toMatchObject({ code: 'configuration' });
    for (const wrong of [{ incidents: { tags: Alert } }, { users: {} }, { incidents: { alertData: {} } }])
      await expect(database.open({ json: wrong } as never)).rejects.toMatchObject({ code: 'configuration' }); // R-O7
  });

  it('store what was given, and give back what the schema makes of it', async () => {
    // R-C9: input and output differ
    const { backend } = subject();
    const database = await backend.create();
    const When = z.object({ at: z.iso.datetime().transform((text) => new Date(text)) });
    const store = await database.open({ json: { incidents: { alertData: When } } } as never);
    const { id, alertData } = await store.incidents.create(newIncident({ alertData: { at: '2026-01-01T00:00:00Z' } }));
    expect(alertData).toEqual({ at: new Date('2026-01-01T00:00:00Z') });
    expect((await store.incidents.get(id)).alertData).toEqual(alertData);
    expect(await store.incidents.alertText(id)).toMatch(/^\{"at": ?"2026-01-01T00:00:00Z"\}$/);
    await database.drop();
  });
});

contract(
  'stored values that do not fit the caller’s own types',
  (subject) => {
    it('give a DecodeError that says where, and quotes nothing', async () => {
      // R-C6, R-C9, R-E2
      const { database, store } = subject();
      const { id } = await store.incidents.create(newIncident({ alertData: { rule: 5, score: NEEDLE } }));
      const typed = await database.open({ json: { incidents: { alertData: Alert } } } as never);
      const error = await typed.incidents.get(id).catch((caught) => caught);
      expect(error).toMatchObject({ code: 'decode', table: 'incidents', column: 'alert_data', id });
      expect(error.message).toContain('does not fit its schema (invalid_type, expected string)');
      expect(everythingOf(error)).not.toContain(NEEDLE);
      const schema: StandardSchema = Alert;
      expect(schema['~standard'].vendor).toBe('zod');
    });
  },
  SHARED_BACKENDS,
);
