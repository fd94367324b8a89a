import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSession, encodeSession, newSessionId } from '../../src/interop/tower-sessions.ts';
import { contract } from '../support/contract.ts';

/** The bytes that rmp_serde writes for this record, put together by hand from the MessagePack specification. */
const RUST = Buffer.concat([
  Buffer.from([0x93]), // array of 3: id, data, expiry_date
  Buffer.from([0xc4, 16, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]), // bin 16: the i128, big-endian
  Buffer.from([0x82]), // map of 2
  Buffer.from([0xa7]),
  Buffer.from('user_id'),
  Buffer.from([0xd9, 36]), // str 8
  Buffer.from('018f2f9e-0000-7000-8000-000000000001'),
  Buffer.from([0xa5]),
  Buffer.from('count'),
  Buffer.from([0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1]), // uint 64: 2^53 + 1
  Buffer.from([0x99]), // array of 9: year, day of the year, hour, minute, second, nanosecond, offset
  Buffer.from([0xcd, 0x07, 0xea]), // 2026
  Buffer.from([0xcd, 0x01, 0x48]), // day 328: the 24th of November
  Buffer.from([13, 25, 47]),
  Buffer.from([0xce, 0x07, 0x5b, 0xcd, 0x15]), // 123,456,789 ns
  Buffer.from([0, 0, 0]),
]);

describe('a record of tower-sessions', () => {
  it('is read as Rust writes it', () => {
    expect(decodeSession(RUST)).toEqual({
      id: 'AAECAwQFBgcICQoLDA0ODw', // base64url of the little-endian bytes 0 to 15
      data: { user_id: '018f2f9e-0000-7000-8000-000000000001', count: 9007199254740993n },
      expiry: new Date('2026-11-24T13:25:47.123Z'),
    });
  });

  it('is written as Rust reads it, byte by byte', () => {
    const session = decodeSession(RUST);
    const bytes = Buffer.from(encodeSession({ ...session, expiry: new Date('2026-11-24T13:25:47.123Z') }));
    // but for the digits of the second below the millisecond, which a Date does not have
    const expected = Buffer.from(RUST);
    expected.writeUInt32BE(123_000_000, expected.length - 7);
    expect(bytes.equals(expected)).toBe(true);
  });

  it('keeps offsets, leap days, the last day of a year, and times before 1970', () => {
    const withExpiry = (...parts: number[]) =>
      decodeSession(encode([new Uint8Array(16), {}, parts])).expiry.toISOString();
    expect(withExpiry(2024, 60, 0, 0, 0, 0, 0, 0, 0)).toBe('2024-02-29T00:00:00.000Z');
    expect(withExpiry(2024, 366, 23, 59, 59, 999_999_999, 0, 0, 0)).toBe('2024-12-31T23:59:59.999Z');
    expect(withExpiry(2026, 1, 0, 30, 0, 0, 2, 0, 0)).toBe('2025-12-31T22:30:00.000Z');
    expect(withExpiry(2026, 1, 0, 0, 0, 0, -5, -30, 0)).toBe('2026-01-01T05:30:00.000Z');
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1900-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
        (expiry) => {
          expect(decodeSession(encodeSession({ id: newSessionId(), data: {}, expiry })).expiry).toEqual(expiry);
        },
      ),
    );
  });

  it('holds any JSON, and integers of 64 bits as integers', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (data) => {
        fc.pre(!JSON.stringify(data).includes('__proto__') && JSON.stringify(data).isWellFormed());
        fc.pre(!/\\ud[89a-f]/.test(JSON.stringify(data)));
        const plain = JSON.parse(JSON.stringify(data)); // without -0, which JSON has not
        expect(decodeSession(encodeSession({ id: newSessionId(), data: plain, expiry: new Date() })).data).toEqual(
          plain,
        );
      }),
    );
    const wide = {
      a: 2 ** 31,
      b: 2 ** 32,
      c: -(2 ** 40),
      d: Number.MAX_SAFE_INTEGER,
      e: 2n ** 63n,
      f: -(2n ** 63n),
      g: 1.5,
    };
    const bytes = encodeSession({ id: newSessionId(), data: wide, expiry: new Date() });
    expect(decodeSession(bytes).data).toEqual(wide);
    const [, raw] = decode(bytes, { useBigInt64: true }) as [unknown, Record<string, unknown>];
    expect(raw).toMatchObject({ a: 2147483648n, b: 4294967296n, g: 1.5 }); // no float where Rust reads an integer
  });

  it('is refused with a reason when it cannot be written', () => {
    const good = { id: newSessionId(), data: {}, expiry: new Date() };
    const deep = JSON.parse(`${'['.repeat(95)}${']'.repeat(95)}`);
    for (const wrong of [
      { id: 'short' },
      { id: undefined },
      { id: `${good.id}=` },
      { expiry: new Date(Number.NaN) },
      { expiry: new Date(8e15) },
      { expiry: 5 },
      { data: null },
      { data: [] },
      { data: 'text' },
      { data: { a: Number.NaN } },
      { data: { a: [undefined] } },
      { data: { a: () => 1 } },
      { data: { a: new Date() } },
      { data: { a: new Map() } },
      { data: { a: 2n ** 64n } },
      { data: { a: '\ud800' } },
      { data: JSON.parse('{"__proto__": 1}') },
      { data: { a: deep } },
    ])
      expect(() => encodeSession({ ...good, ...wrong } as never)).toThrow(
        expect.objectContaining({ code: 'validation' }),
      );
    expect(decodeSession(encodeSession({ ...good, data: { gone: undefined } })).data).toEqual({});
  });

  it('is told from what is none', () => {
    const id = new Uint8Array(16);
    const time = [2026, 1, 0, 0, 0, 0, 0, 0, 0];
    for (const bytes of [
      Buffer.from('{"cookie":{}}'),
      new Uint8Array(),
      RUST.subarray(0, 20),
      encode('text'),
      encode([id, {}]),
      encode([new Uint8Array(15), {}, time]),
      encode([id, [], time]),
      encode([id, {}, [2026]]),
      encode([id, {}, [...time.slice(0, 8), 'x']]),
      encode([id, {}, [2026, 400, 0, 0, 0, 0, 0, 0, 0]]),
      encode([id, {}, null]),
    ])
      expect(() => decodeSession(bytes)).toThrow(expect.objectContaining({ code: 'decode', table: 'sessions' }));
  });

  it('has ids of its own: 22 characters, none twice', () => {
    const ids = new Set(Array.from({ length: 1000 }, newSessionId));
    expect(ids.size).toBe(1000);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });
});

contract('sessions of tower-sessions', (subject) => {
  it('are stored under their id, and read by either side', async () => {
    const { store } = subject();
    const { id, data, expiry } = decodeSession(RUST);
    await store.sessions.create({ id, data: encodeSession({ id, data, expiry }), expiryDate: new Date('2100-01-01') });
    const loaded = await store.sessions.load(id);
    expect(decodeSession(loaded?.data ?? new Uint8Array())).toEqual({ id, data, expiry });
    expect(await store.sessions.deleteForUser(data.user_id as string)).toBe(1);
    expect(await store.sessions.load(id)).toBeNull();
  });
});
