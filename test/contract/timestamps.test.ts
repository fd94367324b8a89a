import { expect, it } from 'vitest';
import { ValidationError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newIncident } from '../support/fixtures.ts';

contract('timestamps', (subject) => {
  it.each([
    '0000-01-01T00:00:00.000Z',
    '0000-02-29T23:59:59.999Z',
    '0001-01-01T00:00:00.001Z',
    '0099-12-31T23:59:59.999Z',
    '1582-10-10T12:00:00.000Z',
    '1970-01-01T00:00:00.000Z',
    '2024-02-29T12:34:56.789Z',
    '2038-01-19T03:14:08.100Z',
    '9999-12-31T23:59:59.999Z',
  ])('%s comes back the same', async (text) => {
    // R-C7
    const { store } = subject();
    const createdAt = new Date(text);
    const { id } = await store.incidents.create(newIncident({ createdAt }));
    const [bulk = ''] = await store.incidents.createMany([newIncident({ createdAt })]);
    for (const each of [id, bulk]) expect((await store.incidents.get(each)).createdAt.toISOString()).toBe(text);
    const until = new Date(Math.min(createdAt.getTime() + 1, Date.parse('9999-12-31T23:59:59.999Z')));
    const last = until.getTime() === createdAt.getTime();
    expect(await store.incidents.count({ since: createdAt, ...(last ? {} : { until }) })).toBe(2);
  });

  it.each([new Date(Number.NaN), new Date('+010000-01-01T00:00:00Z'), new Date('-000001-12-31T23:59:59.999Z')])(
    'refuse %s',
    async (createdAt) => {
      // R-C7
      const { store } = subject();
      await expect(store.incidents.create(newIncident({ createdAt }))).rejects.toThrow(ValidationError);
      await expect(store.incidents.createMany([newIncident({ createdAt })])).rejects.toThrow(ValidationError);
    },
  );

  it('always grow with a change, even when the clock stands still or goes back', async () => {
    // R-E4: or `ifUpdatedAt` would miss a change in the same millisecond
    const own = await subject().backend.create();
    let now = Date.parse('2025-01-01T00:00:00.999Z');
    try {
      const store = await own.open({ now: () => new Date(now) });
      const { id, updatedAt } = await store.incidents.create(newIncident());
      const second = await store.incidents.addTags(id, ['a']);
      now -= 5000;
      const third = await store.incidents.addTags(id, ['b']);
      expect([second, third].map((incident) => incident.updatedAt.getTime() - updatedAt.getTime())).toEqual([1, 2]);
      await expect(store.incidents.update(id, { severity: 'low' }, { ifUpdatedAt: second.updatedAt })).rejects.toThrow(
        'ifUpdatedAt',
      );
      await store.incidents.update(id, { severity: 'low' }, { ifUpdatedAt: third.updatedAt });
    } finally {
      await own.drop();
    }
  });
});

contract(
  'timestamps that other writers left',
  (subject) => {
    it('are read as the same instant, page exactly, and can be compared and changed', async () => {
      // R-C7, R-C8
      const { store, database, backend } = subject();
      const forms =
        backend.dialect === 'sqlite'
          ? [
              ['2024-03-01T10:00:00.123456Z', '2024-03-01T10:00:00.123Z'],
              ['2024-03-01T10:00:00.123999999+00:00', '2024-03-01T10:00:00.123Z'],
              ['2024-03-01T12:00:00+02:00', '2024-03-01T10:00:00.000Z'],
              ['2024-03-01 10:00:00', '2024-03-01T10:00:00.000Z'],
              ['2024-03-01T10:00Z', '2024-03-01T10:00:00.000Z'],
            ]
          : [
              ['2024-03-01T10:00:00.123456Z', '2024-03-01T10:00:00.123Z'],
              ['2024-03-01 12:00:00+02', '2024-03-01T10:00:00.000Z'],
            ];
      const ids: string[] = [];
      for (const [stored = '', instant] of forms) {
        const { id } = await store.incidents.create(newIncident({ tags: ['foreign'] }));
        ids.push(id);
        await database.raw(
          `update incidents set created_at = '${stored}', updated_at = '${stored}' where id = '${id}'`,
        );
        const incident = await store.incidents.get(id);
        expect(incident.createdAt.toISOString()).toBe(instant);
      }
      const seen: string[] = [];
      for (let after: string | null = null, first = true; first || after; first = false) {
        const page = await store.incidents.list({ tag: 'foreign' }, { limit: 1, after });
        seen.push(...page.items.map(({ id }) => id));
        after = page.next;
      }
      expect(seen.slice().sort()).toEqual(ids.slice().sort());
      for (const id of ids) {
        const { updatedAt } = await store.incidents.get(id);
        await store.incidents.update(id, { severity: 'low' }, { ifUpdatedAt: updatedAt });
      }
    });

    it('page exactly when they are microseconds apart', async () => {
      // R-C8: another writer’s schema may keep them
      const own = await subject().backend.create();
      try {
        const store = await own.open();
        if (subject().backend.dialect === 'postgres')
          await own.raw('alter table incidents alter column created_at type timestamptz(6)');
        const ids = [...(await store.incidents.createMany(Array.from({ length: 20 }, () => newIncident())))];
        for (const [i, id] of ids.entries())
          await own.raw(
            `update incidents set created_at = '2024-03-01T10:00:00.1234${String(50 - i).padStart(2, '0')}Z' where id = '${id}'`,
          );
        const seen: string[] = [];
        let after: string | null = null;
        do {
          const page = await store.incidents.list({}, { limit: 3, after });
          seen.push(...page.items.map(({ id }) => id));
          after = page.next;
        } while (after);
        expect(seen).toEqual(ids);
      } finally {
        await own.drop();
      }
    });
  },
  SHARED_BACKENDS,
);
