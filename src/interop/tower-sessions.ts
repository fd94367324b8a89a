/**
 * The record that the stores of Rust's tower-sessions keep in `sessions.data`: MessagePack of the array [id, data, expiry].
 *
 *  - id: 16 bytes, the big-endian form of a 128-bit integer; its little-endian form in base64url is the session's id as text,
 *    which is the cookie's value and the row's id.
 *  - data: a map of JSON values.
 *  - expiry: [year, day of the year, hour, minute, second, nanosecond, offset hours, minutes, seconds].
 *
 * Source: tower-sessions-core, `session.rs`; the `time` crate's form of an OffsetDateTime.
 */
import { decode, encode } from '@msgpack/msgpack';
import { joinPath } from '../codecs/json.ts';
import { DecodeError, ValidationError } from '../errors.ts';

/** A session of tower-sessions. */
export interface TowerSession {
  /** 22 characters: base64url of 16 bytes. */
  readonly id: string;
  /** JSON values by name. An integer beyond 2^53 is a BigInt. */
  readonly data: Readonly<Record<string, unknown>>;
  /** To the millisecond. */
  readonly expiry: Date;
}

const ID_BYTES = 16;

/** Makes an id for a new session: 16 random bytes, as text. */
export const newSessionId = (): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(ID_BYTES))).toString('base64url');

/**
 * Writes a session as tower-sessions does: what goes into `sessions.data`.
 *
 * @example
 * const session = { id: newSessionId(), data: { user_id }, expiry }
 * await store.sessions.create({ id: session.id, data: encodeSession(session), expiryDate: session.expiry })
 *
 * @throws ValidationError for an id that is none, an invalid Date, or data that is not JSON (BigInts of 64 bits are taken).
 */
export function encodeSession({ id, data, expiry }: TowerSession): Uint8Array {
  const bytes = Buffer.from(typeof id === 'string' ? id : '', 'base64url');
  if (bytes.length !== ID_BYTES || bytes.toString('base64url') !== id)
    throw new ValidationError([{ path: 'id', message: 'is not base64url of 16 bytes' }]);
  if (!(expiry instanceof Date) || !(Math.abs(expiry.getUTCFullYear()) <= 9999))
    throw new ValidationError([{ path: 'expiry', message: 'is not a Date up to the year 9999' }]);
  if (!isPlain(data)) throw new ValidationError([{ path: 'data', message: 'is not a plain object' }]);
  return encode([new Uint8Array(bytes.reverse()), packable(data, 'data', 0), timeParts(expiry)], { useBigInt64: true });
}

/**
 * Reads what tower-sessions wrote: the content of `sessions.data`.
 *
 * @throws DecodeError when it is no such record.
 */
export function decodeSession(bytes: Uint8Array): TowerSession {
  let read: unknown;
  try {
    read = decode(bytes, { useBigInt64: true });
  } catch {
    throw unreadable('is not MessagePack');
  }
  if (!Array.isArray(read) || read.length !== 3) throw unreadable('is not a record of tower-sessions');
  const [id, data, expiry] = read as [unknown, unknown, unknown];
  if (!(id instanceof Uint8Array) || id.length !== ID_BYTES) throw unreadable('has an id that is not 16 bytes');
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw unreadable('has data that is not a map');
  return {
    id: Buffer.from(id).reverse().toString('base64url'),
    data: plainNumbers(data) as Record<string, unknown>, // the members of a map, whose keys are texts
    expiry: instantOf(expiry),
  };
}

const unreadable = (reason: string) => new DecodeError('sessions', 'data', null, reason);

const DAY_MS = 86_400_000;

function timeParts(time: Date): readonly number[] {
  const newYear = new Date(time);
  newYear.setUTCMonth(0, 1);
  newYear.setUTCHours(0, 0, 0, 0);
  const dayOfYear = Math.floor((time.getTime() - newYear.getTime()) / DAY_MS) + 1;
  return [
    time.getUTCFullYear(),
    dayOfYear,
    time.getUTCHours(),
    time.getUTCMinutes(),
    time.getUTCSeconds(),
    time.getUTCMilliseconds() * 1_000_000,
    0,
    0,
    0,
  ];
}

/** Year, day of the year, hour, minute, second, nanosecond, and the offset's hours, minutes and seconds. */
const RANGES = [
  [-9999, 9999],
  [1, 366],
  [0, 23],
  [0, 59],
  [0, 59],
  [0, 999_999_999],
  [-25, 25],
  [-59, 59],
  [-59, 59],
] as const;

const inRange = (numbers: readonly number[]) =>
  RANGES.every(([least, most], i) => (numbers[i] as number) >= least && (numbers[i] as number) <= most);

function instantOf(parts: unknown): Date {
  const numbers = Array.isArray(parts) ? parts.map((part) => (typeof part === 'bigint' ? Number(part) : part)) : [];
  if (numbers.length !== 9 || !numbers.every(Number.isInteger) || !inRange(numbers))
    throw unreadable('has an expiry that is not a time');
  const [year, day, hour, minute, second, nanosecond, offsetHours, offsetMinutes, offsetSeconds] = numbers as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const local = new Date(0);
  local.setUTCFullYear(year, 0, day);
  local.setUTCHours(hour, minute, second, Math.floor(nanosecond / 1_000_000));
  return new Date(local.getTime() - (offsetHours * 3600 + offsetMinutes * 60 + offsetSeconds) * 1000);
}

/** Levels of arrays and objects. */
const MAX_DEPTH = 90;

/** JSON, ready to be packed: the encoder would make a float of an integer beyond 32 bits, and null of what it does not know. */
function packable(value: unknown, path: string, depth: number): unknown {
  const refuse = (message: string) => new ValidationError([{ path, message }]);
  if (depth > MAX_DEPTH) throw refuse(`is nested deeper than ${MAX_DEPTH} levels`);
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw refuse('has a lone surrogate, which UTF-8 cannot hold');
      return value;
    case 'boolean':
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw refuse('is not a finite number');
      return Number.isSafeInteger(value) && Math.abs(value) >= 2 ** 31 ? BigInt(value) : value;
    case 'bigint':
      if (value < -(2n ** 63n) || value >= 2n ** 64n) throw refuse('is beyond 64 bits');
      return value;
    case 'object':
      if (value === null) return null;
      if (Array.isArray(value)) return value.map((member, i) => packable(member, `${path}[${i}]`, depth + 1));
      if (!isPlain(value)) throw refuse('is not a plain object, or has a member __proto__');
      return Object.fromEntries(
        Object.entries(value)
          .filter(([, member]) => member !== undefined)
          .map(([key, member]) => [key, packable(member, joinPath(path, [key]), depth + 1)]),
      );
    default:
      throw refuse(`is ${typeof value}, which is not JSON`);
  }
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' &&
  value !== null &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value)) &&
  !Object.hasOwn(value, '__proto__');

/** 64-bit integers come as BigInts, so that none is rounded; those that a number holds exactly become numbers. */
function plainNumbers(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (Array.isArray(value)) return value.map(plainNumbers);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plainNumbers(member)]));
}
