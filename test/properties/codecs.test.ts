import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeJson, rawJson } from '../../src/codecs/json.ts';
import { fromJsonb, toJsonb, toJsonbString } from '../../src/codecs/jsonb.ts';
import { encodeTimestamp, parseTimestamp } from '../../src/codecs/timestamp.ts';
import { jsonNeedle } from '../../src/driver/like.ts';
import { parseId } from '../../src/model/parse.ts';
import { decodeCursor, encodeCursor } from '../../src/repositories/page.ts';
import { dialect } from '../../src/sqlite/dialect.ts';
import { incidents } from '../../src/sqlite/schema.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { HARD_JSON, newIncident } from '../support/fixtures.ts';

/** Any UTF-16: lone surrogates, NUL and the escape's own marker come often. */
const anyString = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\0',
        '\ud83d',
        '\ude00',
        '\ue0f0',
        '0000',
        'd83d',
        'e0f0',
        'raw',
        '\\',
        '"',
        '\\u0000',
        'é',
        '\u{1f600}',
        'a',
      ),
      fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...HARD_JSON),
    anyString,
    // -0 is written as 0: JSON has one zero
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    fc.integer(),
    fc.boolean(),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.array(fc.tuple(anyString, tie('json')), { maxLength: 4 }).map((members) => {
      const object = {};
      for (const [key, value] of members)
        Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
      return object;
    }),
  ),
}));

describe('the JSON codec', () => {
  it('writes jsonb that holds nothing jsonb refuses, and reads the same value and text back', () => {
    // R-C2, R-C3
    fc.assert(
      fc.property(json, (value) => {
        const encoded = encodeJson(value, '');
        const stored = toJsonb(encoded);
        expect(/(?<!\\)(\\\\)*\\u(0000|d[89a-f])/i.test(stored)).toBe(false);
        expect(fromJsonb(stored)).toBe(encoded.text);
        expect(JSON.parse(fromJsonb(stored))).toStrictEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps a raw text’s value, however its strings are escaped', () => {
    const escaped = (text: string) =>
      text.replace(/[\s\S]/g, (unit, i: number) =>
        i % 3 === 0 && !/[{}[\],:"\\0-9.eE+\-a-z]/.test(unit)
          ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`
          : unit,
      );
    fc.assert(
      fc.property(json, (value) => {
        const text = escaped(JSON.stringify(value));
        expect(JSON.parse(rawJson(text).text)).toStrictEqual(JSON.parse(text));
        expect(rawJson(text).text).toBe(JSON.stringify(value)); // the shortest escapes, as JSON.stringify writes them
      }),
      { numRuns: 1000 },
    );
  });

  it('finds in a stored text what is searched for', () => {
    fc.assert(
      fc.property(anyString, anyString, anyString, (before, needle, after) => {
        fc.pre((before + needle + after).isWellFormed() && needle.isWellFormed());
        const stored = toJsonb(encodeJson(before + needle + after, ''));
        expect(stored).toContain(jsonNeedle(toJsonbString(needle)));
      }),
    );
  });
});

describe('the timestamp codec', () => {
  it('round-trips every millisecond of the years 0000 to 9999, and orders texts as it orders times', () => {
    // R-C7
    const time = fc.date({
      min: new Date('0000-01-01T00:00:00.000Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(time, time, (a, b) => {
        expect(parseTimestamp(encodeTimestamp(a, ''))).toEqual(a);
        const postgres = encodeTimestamp(a, '')
          .replace('T', ' ')
          .replace(/\.?0*Z$/, '+00');
        expect(parseTimestamp(postgres)).toEqual(a);
        expect(encodeTimestamp(a, '') < encodeTimestamp(b, '')).toBe(a < b);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads any ISO 8601 form with an offset as the same instant, and only real dates', () => {
    // R-C7
    const part = (max: number) => fc.integer({ min: 0, max });
    const two = (value: number) => String(value).padStart(2, '0');
    fc.assert(
      fc.property(
        fc.date({ min: new Date('0001-01-02'), max: new Date('9999-12-30'), noInvalidDate: true }),
        part(23),
        part(59),
        fc.boolean(),
        part(999_999),
        (date, h, m, east, nanos) => {
          const shift = (h * 60 + m) * 60_000 * (east ? 1 : -1);
          const local = new Date(date.getTime() + shift).toISOString();
          fc.pre(local.length === 24);
          const text = `${local.slice(0, 23)}${String(nanos).padStart(6, '0')}${east ? '+' : '-'}${two(h)}:${two(m)}`;
          expect(parseTimestamp(text)).toEqual(date);
        },
      ),
      { numRuns: 2000 },
    );
    for (const text of [
      '2024-02-30T00:00:00.000Z',
      '2023-02-29',
      '2024-13-01',
      '2024-01-01T24:00:00Z',
      '2024-01-01T00:60:00Z',
      '',
      'now',
      'infinity',
      '0002-01-01 00:00:00+00 BC',
      '10000-01-01T00:00:00Z',
    ])
      expect(parseTimestamp(text)).toBeNull();
  });
});

describe('cursors', () => {
  it('come back as they went, and nothing else is taken for one', () => {
    // R-C8
    const read = (text: string) => decodeCursor('newest', [incidents.createdAt], dialect, (id) => parseId(id), text);
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true }),
        fc.uuid(),
        (date, id) => {
          const cursor = { values: [date.toISOString()], id };
          expect(read(encodeCursor('newest', cursor))).toEqual(cursor);
        },
      ),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => read(text)).toThrow('cursor');
      }),
    );
  });
});

contract(
  'any JSON, through a real database',
  (subject) => {
    it('comes back equal, and as the same text', async () => {
      // R-C2, R-C3
      const { store } = subject();
      await fc.assert(
        fc.asyncProperty(json, async (value) => {
          const { id } = await store.incidents.create(newIncident({ alertData: value as object }));
          expect((await store.incidents.get(id)).alertData).toStrictEqual(JSON.parse(JSON.stringify(value)));
        }),
        { numRuns: 300 },
      );
    });

    it('is found by any part of its text, literally', async () => {
      // R-L2
      const { store } = subject();
      const text = fc
        .array(fc.constantFrom('%', '_', '\\%', "'", 'a', 'B', 'é', '\ue0f0', ' ', '\u{1f600}', '%%', '?', '$1'), {
          minLength: 1,
          maxLength: 6,
        })
        .map((parts) => parts.join('').replace(/^\\/, '')); // an escape's own letters may match: see IncidentFilter.search
      await fc.assert(
        fc.asyncProperty(text, text, async (needle, other) => {
          const tags = [`search ${crypto.randomUUID()}`];
          const { id } = await store.incidents.create(newIncident({ tags, alertData: { text: `x${needle}y` } }));
          await store.incidents.create(newIncident({ tags, alertData: { text: other } }));
          const found = (await store.incidents.list({ search: needle, allTags: tags })).items;
          const fold = (s: string) => s.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
          // the second one may hold it too; the tag's own text is of letters, digits and blanks
          const expected = fold(other).includes(fold(needle)) || fold(tags[0] ?? '').includes(fold(needle)) ? 2 : 1;
          expect(found).toHaveLength(expected);
          expect(found.map((incident) => incident.id)).toContain(id);
        }),
        { numRuns: 150 },
      );
    });
  },
  SHARED_BACKENDS,
);
