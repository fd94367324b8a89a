import { ValidationError } from '../errors.ts';

/** Length of `YYYY-MM-DDTHH:mm:ss.sssZ`: other lengths are years outside 0000–9999. */
const ISO_LENGTH = 24;

/**
 * Writes an instant as fixed-width ISO 8601 UTC with milliseconds, so that the order of texts is the order of time.
 *
 * @throws ValidationError for an invalid Date and for years outside 0000–9999.
 */
export function encodeTimestamp(date: Date, path: string): string {
  if (!(date instanceof Date) || Number.isNaN(date.getTime()))
    throw new ValidationError([{ path, message: 'is not a valid Date' }]);
  const text = date.toISOString();
  if (text.length !== ISO_LENGTH) throw new ValidationError([{ path, message: 'is outside the years 0000 to 9999' }]);
  return text;
}

const FORM =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?)?\s?(Z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?( BC)?$/i;

/**
 * Reads an instant: our own form, any ISO 8601 form with an offset and up to nanoseconds, and `YYYY-MM-DD HH:MM:SS`,
 * which is taken as UTC. Digits beyond the millisecond are cut off. Returns null for anything else.
 */
export function parseTimestamp(text: string): Date | null {
  // our own form, unless its day needs a calendar: Date.parse() makes the 30th of February a day in March
  if (text.length === ISO_LENGTH && text.charCodeAt(23) === 90 /* Z */ && text.charCodeAt(8) < 51 /* day below 30 */) {
    const time = Date.parse(text);
    if (!Number.isNaN(time) && text.slice(8, 10) <= '28') return new Date(time);
  }
  // PostgreSQL's form in UTC with up to three digits of a second: lists are read by it
  if (
    text.length <= 26 &&
    text.charCodeAt(10) === 32 /* blank */ &&
    text.endsWith('+00') &&
    text.slice(8, 10) <= '28'
  ) {
    const time = Date.parse(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`);
    if (!Number.isNaN(time)) return new Date(time);
  }
  return parseParts(FORM.exec(text));
}

function parseParts(parts: RegExpExecArray | null): Date | null {
  if (!parts) return null;
  const [, year = '', month, day, hour = '0', minute = '0', second = '0', fraction = '', offset = 'Z', bc] = parts;
  if (bc && year !== '0001') return null; // 1 BC is the year 0000
  const fields = [
    bc ? 0 : Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  ] as const;
  const date = new Date(0);
  date.setUTCFullYear(fields[0], fields[1], fields[2]);
  date.setUTCHours(fields[3], fields[4], fields[5], Number(fraction.slice(0, 3).padEnd(3, '0')));
  const read = [
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ];
  if (read.some((value, i) => value !== fields[i])) return null; // the 30th of February, 25 o'clock
  const shifted = date.getTime() - offsetSeconds(offset) * 1000;
  const result = new Date(shifted);
  return result.getUTCFullYear() >= 0 && result.getUTCFullYear() <= 9999 ? result : null;
}

function offsetSeconds(offset: string): number {
  if (offset.toUpperCase() === 'Z') return 0;
  const digits = offset.slice(1).replaceAll(':', '').padEnd(6, '0');
  const seconds = Number(digits.slice(0, 2)) * 3600 + Number(digits.slice(2, 4)) * 60 + Number(digits.slice(4, 6));
  return offset.startsWith('-') ? -seconds : seconds;
}
