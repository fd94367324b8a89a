import type { RawJson } from './json.ts';

/**
 * Keeps in jsonb what jsonb cannot hold. A NUL, a lone surrogate, and the marker itself are written as the marker
 * (a private-use character) and four hexadecimal digits; all else stands as it is, and both directions are exact.
 *
 * jsonb also drops all but the last of an object's equal keys. A text that has some is kept whole under RAW_KEY, next to
 * the members that jsonb keeps, so that queries still find them.
 */
const MARKER = '\uE0F0';
const ESCAPED_MARKER = `${MARKER}e0f0`;
const RAW_KEY = `${MARKER}raw`;
const VALUE_KEY = `${MARKER}value`;

// every escape is consumed whole, so that the backslash of an escaped backslash never starts another
const REFUSED = new RegExp(`\\\\u(0000|d[89a-f][0-9a-f]{2})|\\\\[^]|${MARKER}`, 'gi');
const ESCAPED = new RegExp(`${MARKER}(0000|d[89a-f][0-9a-f]{2}|e0f0)`, 'g');

const isRefused = (text: string) => text.includes('\\u0000') || text.includes('\\ud') || text.includes(MARKER);

const escapeText = (text: string) =>
  isRefused(text)
    ? text.replace(REFUSED, (found, unit?: string) =>
        found === MARKER ? ESCAPED_MARKER : unit ? MARKER + unit.toLowerCase() : found,
      )
    : text;

const unescapeText = (text: string) =>
  text.includes(MARKER) ? text.replace(ESCAPED, (_, unit: string) => (unit === 'e0f0' ? MARKER : `\\u${unit}`)) : text;

/** JSON text → text that jsonb takes without losing anything. */
export function toJsonb(json: RawJson): string {
  const text = escapeText(json.text);
  if (!json.duplicateKeys) return text;
  const raw = `${JSON.stringify(RAW_KEY)}:${escapeText(JSON.stringify(json.text))}`;
  return text.trimStart().startsWith('{')
    ? text.replace('{', () => `{${raw},`)
    : `{${raw},${JSON.stringify(VALUE_KEY)}:${text}}`;
}

/** jsonb's text → the JSON text that was stored: the same value, with every digit and every key. */
export function fromJsonb(text: string): string {
  if (!text.includes(MARKER)) return text;
  if (text.includes(RAW_KEY)) {
    const raw = (JSON.parse(text) as Record<string, unknown> | null)?.[RAW_KEY];
    if (typeof raw === 'string') return unescapeString(raw);
  }
  return unescapeText(text);
}

/** A string, as it stands inside a JSON string of jsonb. */
export const toJsonbString = (value: string): string => JSON.parse(escapeText(JSON.stringify(value))) as string;

const unescapeString = (value: string): string => JSON.parse(unescapeText(JSON.stringify(value))) as string;

/** For SQL that builds JSON from a text column: what to replace, and by what. */
export const JSONB_MARKER = { plain: MARKER, escaped: ESCAPED_MARKER } as const;
