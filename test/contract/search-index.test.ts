import { v7 as uuidv7 } from 'uuid';
import { expect, it } from 'vitest';
import type { IncidentFilter, IncidentSummary, NewIncident, Page } from '../../src/index.ts';
import type { Store } from '../../src/store.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newIncident } from '../support/fixtures.ts';

/** What analysts look for: no words. */
const TEXTS = [
  '10.0.0.17',
  '192.168.13.37:8443',
  'd41d8cd98f00b204e9800998ecf8427e',
  'evil-domain.example',
  'C:\\Windows\\System32\\cmd.exe /c "whoami"',
  '/etc/../etc/passwd',
  'powershell -enc JABzAD0A',
  'ÄRGER mit Umlauten',
  'ärger mit umlauten',
  '漢字 in the middle',
  'emoji 🦠🧨 here',
  '100% of a_b',
  "it's 'quoted'",
  'tab\tand\nnewline',
  'nul \0 inside',
  'lone \ud83d surrogate',
  'marker \ue0f0 raw',
  'T1566.001',
];
const NEEDLES = [
  ...TEXTS,
  ...TEXTS.map((text) => text.slice(2, 7)),
  ...TEXTS.map((text) => text.toUpperCase()),
  ...TEXTS.map((text) => text.slice(-4)),
  '0.0',
  '.13.',
  'xx',
  'a',
  '%',
  'no such text',
  'JIRA-7',
  '" OR "',
  ')"; drop',
  'x'.repeat(900),
].filter((needle) => needle?.isWellFormed() && needle && !needle.includes('\0'));

const corpus = (): NewIncident[] => [
  ...TEXTS.map((text, i) => newIncident({ alertData: { deep: [{ text }], i }, ticketId: i % 3 ? null : `JIRA-${i}` })),
  ...TEXTS.map((text) => newIncident({ alertData: 'x', tags: text.includes('\0') ? [] : [text.toWellFormed()] })),
  newIncident({ alertData: 'x'.repeat(2000), ticketId: 'C:\\ticket "7"' }),
];

contract('the search index', (subject) => {
  it('changes how fast a search is, and nothing else', async () => {
    // R-L2
    const database = await subject().backend.create();
    const store = await database.open();
    const ids = await store.incidents.createMany(corpus());
    const find = async (search: string) =>
      (await store.incidents.summary.list({ search }, { limit: 200 })).items.map(({ id }) => id);
    const everything = async () => {
      const found = new Map<string, readonly string[]>();
      for (const needle of NEEDLES) found.set(needle, await find(needle));
      return found;
    };
    const without = await everything();
    expect(without.get('10.0.0.17')).toHaveLength(2);
    expect(await store.searchIndex.status()).toMatchObject({ state: 'absent' });
    const states: string[] = [];
    const enabled = await store.searchIndex.enable({ batchSize: 7, onProgress: ({ state }) => states.push(state) });
    expect(enabled).toMatchObject({ state: 'ready', bytes: expect.any(Number) });
    expect(states.at(-1)).toBe('ready');
    expect(await everything()).toEqual(without);
    expect(await store.incidents.count({ search: '10.0.0.17' })).toBe(2);
    expect((await store.incidents.stats({ search: '10.0.0.17' })).total).toBe(2);
    expect((await store.incidents.listPage({ search: '10.0.0.17' })).total).toBe(2);

    // whatever is written afterwards, by one or many, is found, and what is changed is found as it is now
    const { id } = await store.incidents.create(newIncident({ alertData: { ip: '203.0.113.9' } }));
    const [bulk] = await store.incidents.createMany([newIncident({ alertData: { ip: '203.0.113.9' } })]);
    expect(new Set(await find('203.0.113.9'))).toEqual(new Set([id, bulk]));
    await store.incidents.update(id, { alertData: { ip: '198.51.100.4' } });
    await store.incidents.setTicket(bulk as string, 'SNOW-4711');
    await store.incidents.addTags(ids[0] as string, ['lateral-movement']);
    expect(await find('203.0.113.9')).toEqual([bulk]);
    expect(await find('198.51.100.4')).toEqual([id]);
    expect(await find('snow-47')).toEqual([bulk]);
    expect(await find('ral-mov')).toEqual([ids[0]]);
    await store.transaction(async (tx) => {
      const inside = await tx.incidents.create(newIncident({ alertData: 'only in here' }));
      expect((await tx.incidents.list({ search: 'only in here' })).items.map((row) => row.id)).toEqual([inside.id]);
    });
    await store.incidents.createMany([newIncident({ id, alertData: 'ignored text' })], { onConflict: 'ignore' });
    expect(await find('ignored text')).toEqual([]);

    expect(await store.searchIndex.enable()).toMatchObject({ state: 'ready' });
    await store.searchIndex.disable();
    await store.searchIndex.disable();
    expect(await store.searchIndex.status()).toMatchObject({ state: 'absent' });
    expect(await find('198.51.100.4')).toEqual([id]);
    await expect(store.searchIndex.enable({ batch: 1 } as object)).rejects.toMatchObject({ code: 'validation' });
    await expect(store.transaction(() => store.searchIndex.enable())).rejects.toMatchObject({
      code: 'transaction_scope',
    });
    await database.drop();
  });

  it('changes how fast tags are found, and nothing else', async () => {
    const { backend } = subject();
    const database = await backend.create();
    const store = await database.open();
    const at = (i: number) => new Date(1_700_000_000_000 + Math.floor(i / 3) * 1000); // three at a time
    const ids = await store.incidents.createMany(
      Array.from({ length: 240 }, (_, i) =>
        newIncident({
          tags: ['all', ...(i % 2 ? ['odd', `n${i % 7}`] : []), ...(i === 100 ? ['rare "é%'] : [])],
          severity: i % 3 ? 'low' : 'high',
          createdAt: at(i),
        }),
      ),
    );
    const filters: IncidentFilter[] = [
      { tag: 'all' },
      { tag: 'ALL' },
      { tag: 'rare "é%' },
      { tag: 'nobody' },
      { tag: [] },
      { allTags: [] },
      { tag: ['n1', 'n3', 'odd'] },
      { tag: ['n1', 'nobody'], severity: 'high' },
      { allTags: ['all', 'odd', 'n5'] },
      { allTags: ['all', 'odd'], tag: ['n2', 'n4'], until: at(200) },
      { tag: 'odd', search: 'n3', since: at(30) },
      { tag: Array.from({ length: 40 }, (_, i) => `n${i}`) },
    ];
    const everything = async () => {
      const found: unknown[] = [];
      for (const filter of filters) {
        for (const sort of ['newest', 'oldest', 'recently_updated'] as const) {
          let after: string | null = null;
          do {
            const page: Page<IncidentSummary> = await store.incidents.summary.list(filter, { sort, limit: 17, after });
            found.push(page.items.map(({ id }) => id));
            after = page.next;
          } while (after);
        }
        found.push(await store.incidents.count(filter), await store.incidents.stats(filter));
        found.push((await store.incidents.listPage(filter, { page: 2, perPage: 5 })).items);
        for await (const { id } of store.incidents.summary.stream(filter, { batchSize: 50 })) found.push(id);
      }
      return found;
    };
    const without = await everything();
    await store.searchIndex.enable({ batchSize: 50 });
    expect(await everything()).toEqual(without);

    await store.incidents.addTags(ids[7] as string, ['later']);
    await store.incidents.removeTags(ids[9] as string, ['odd']);
    await store.incidents.update(ids[11] as string, { tags: ['later', 'odd'] });
    await store.incidents.create(newIncident({ tags: ['odd', 'later'], createdAt: at(2) }));
    await store.incidents.createMany([newIncident({ id: ids[0] as string, tags: ['ignored'] })], {
      onConflict: 'ignore',
    });
    if (backend.dialect === 'sqlite' && backend.shared) {
      // others write as they like: no JSON, the same tag twice, no text, a row in the place of another
      const row = `source, severity, status, '{}', enrichments, analysis, proposed_actions, ticket_id`;
      const copy = (id: string, tags: string) =>
        database.raw(
          `insert or replace into incidents select '${id}', ${row}, '${tags}', metadata, created_at, updated_at from incidents where id = '${ids[50]}'`,
        );
      await copy(uuidv7(), '["odd", "odd", 7, null]');
      const bare = uuidv7();
      await copy(bare, '["replaced"]');
      await copy(bare, '["odd"]');
      expect(await store.incidents.count({ tag: 'replaced' })).toBe(0);
      await database.raw(`delete from incidents where id = '${bare}'`);
    }
    filters.push({ tag: 'later' }, { tag: 'ignored' }, { tag: 'odd' }, { allTags: ['later', 'odd'] });
    await store.transaction(async (tx) => {
      const { id } = await tx.incidents.create(newIncident({ tags: ['inside'] }));
      expect((await tx.incidents.list({ tag: 'inside' })).items.map((row) => row.id)).toEqual([id]);
    });
    const changed = await everything();
    await store.searchIndex.disable();
    expect(await everything()).toEqual(changed);
    await database.drop();
  });

  it('is built while others write, and is complete then', async () => {
    const database = await subject().backend.create();
    const store = await database.open();
    await store.incidents.createMany(
      Array.from({ length: 600 }, (_, i) => newIncident({ alertData: { n: `before-${i}-` } })),
    );
    let built = false;
    let writes = 0;
    const writing = (async () => {
      while (!built) {
        await store.incidents.create(newIncident({ alertData: { n: `meanwhile-${writes++}-` } }));
        await new Promise(setImmediate);
      }
    })();
    await store.searchIndex.enable({ batchSize: 20 });
    built = true;
    await writing;
    expect(await store.incidents.count({ search: 'before-' })).toBe(600);
    expect(await store.incidents.count({ search: 'meanwhile-' })).toBe(writes);
    expect(await store.incidents.count({ search: 'before-599-' })).toBe(1);
    await database.drop();
  });
});

contract(
  'the search index, from outside',
  (subject) => {
    it('is made once by several stores at a time, and may go while others search', async () => {
      const database = await subject().backend.create();
      const stores = await Promise.all(Array.from({ length: 3 }, () => database.open()));
      const [store] = stores as [Store];
      await store.incidents.createMany(
        Array.from({ length: 500 }, (_, i) => newIncident({ alertData: `number ${i}!` })),
      );
      for (let round = 0; round < 4; round++) {
        const made = await Promise.all(stores.map((one) => one.searchIndex.enable()));
        expect(made.map(({ state }) => state)).toEqual(['ready', 'ready', 'ready']);
        expect((await store.searchIndex.status()).state).toBe('ready');
        let disabled = false;
        const searching = stores.flatMap((one) =>
          [0, 1, 2].map(async () => {
            do {
              expect(await one.incidents.count({ search: 'number 499!' })).toBe(1);
              expect((await one.incidents.list({ search: 'NUMBER 498!' })).items).toHaveLength(1);
              expect((await one.incidents.stats({ search: 'number 49' })).total).toBe(11);
            } while (!disabled);
          }),
        );
        await stores[1]?.searchIndex.disable();
        disabled = true;
        await Promise.all(searching);
      }
      await database.drop();
    });

    it('fails as its progress does, with no rejection that nobody handles', async () => {
      const database = await subject().backend.create();
      const store = await database.open();
      const boom = () => {
        throw new Error('boom');
      };
      await store.incidents.createMany(Array.from({ length: 120 }, () => newIncident()));
      let enabling: Promise<unknown> = Promise.resolve();
      if (subject().backend.dialect === 'postgres')
        // CREATE INDEX CONCURRENTLY waits for it, and progress is asked for
        await database.open().then((other) =>
          other.transaction(async (tx) => {
            await tx.incidents.create(newIncident());
            enabling = store.searchIndex.enable({ onProgress: boom });
            enabling.catch(() => {});
            await new Promise((resolve) => setTimeout(resolve, 1200));
          }),
        );
      else enabling = store.searchIndex.enable({ onProgress: boom });
      await expect(enabling).rejects.toThrow('boom');
      expect(await store.searchIndex.enable()).toMatchObject({ state: 'ready' });
      await database.drop();
    });

    it('is used by the database, goes on after it was interrupted, and is seen by other stores', async () => {
      const { backend } = subject();
      const database = await backend.create();
      const store = await database.open();
      await store.incidents.createMany(
        Array.from({ length: 3000 }, (_, i) =>
          newIncident({ alertData: { ip: `10.${i % 250}.${i}.7`, text: 'y'.repeat(500) } }),
        ),
      );
      if (backend.dialect === 'sqlite') {
        const interrupted = store.searchIndex.enable({
          batchSize: 100,
          onProgress: ({ indexed }) => {
            if ((indexed ?? 0) >= 1000) throw new Error('interrupted');
          },
        });
        await expect(interrupted).rejects.toThrow('interrupted');
        expect(await store.searchIndex.status()).toMatchObject({ state: 'building', indexed: 1000, total: 3000 });
      } else {
        await database.raw('create extension if not exists pg_trgm');
        // what an interrupted CREATE INDEX CONCURRENTLY leaves behind
        await database.raw('create index incidents_search_idx on incidents (ticket_id)');
        await database.raw(
          `update pg_index set indisvalid = false where indexrelid = 'incidents_search_idx'::regclass`,
        );
        expect(await store.searchIndex.status()).toMatchObject({ state: 'building' });
      }
      expect(await store.incidents.count({ search: '.2999.7' })).toBe(1);
      const seen: (number | null)[] = [];
      await store.searchIndex.enable({ onProgress: ({ indexed }) => seen.push(indexed) });
      if (backend.dialect === 'sqlite') expect(seen[0]).toBeGreaterThan(1000);
      if (backend.dialect === 'postgres')
        expect(await database.raw(`select 1 from pg_indexes where indexname like 'incidents_search_idx_%'`)).toEqual(
          [],
        );
      const other = await database.open();
      expect(await other.incidents.count({ search: '.2999.7' })).toBe(1);
      if (backend.dialect === 'postgres') await database.raw('vacuum analyze incidents');
      const explain =
        backend.dialect === 'sqlite'
          ? `explain query plan select 1 from incidents where id in (select incident_id from incidents_search_rows where number in (select rowid from incidents_search where incidents_search match '"299" AND "999"'))`
          : `explain select 1 from incidents where lower((alert_data::text || chr(10) || coalesce(ticket_id, '') || chr(10) || tags::text) collate "C") like '%.2999.7%'`;
      const plan = JSON.stringify(await database.raw(explain));
      expect(plan).toContain(backend.dialect === 'sqlite' ? 'VIRTUAL TABLE INDEX' : 'incidents_search_idx');
      if (backend.dialect === 'sqlite') {
        // a rebuild of the table takes the triggers along: then the index is not asked any more
        await database.raw('drop trigger incidents_search_update');
        await other.incidents.create(newIncident({ alertData: 'without the trigger' }));
        expect(await other.incidents.count({ search: '.2999.7' })).toBe(1);
        expect(await store.searchIndex.status()).toMatchObject({ state: 'building' });
        // and what was written meanwhile is in it when it is made again
        expect(await store.searchIndex.enable()).toMatchObject({ state: 'ready' });
        expect(await other.incidents.count({ search: 'without the trigger' })).toBe(1);
        await database.raw('drop trigger incidents_search_tags_insert');
        await other.incidents.create(newIncident({ tags: ['without the trigger'] }));
        await store.searchIndex.enable();
        expect(await other.incidents.count({ tag: 'without the trigger' })).toBe(1);
      }
      if (backend.dialect === 'sqlite') await database.raw('vacuum'); // which may change the rowids of incidents
      expect(await other.incidents.count({ search: '.2998.7' })).toBe(1);
      await database.drop();
    });
  },
  SHARED_BACKENDS,
);
