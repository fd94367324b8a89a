import { ValidationError } from '../errors.ts';

/** Beyond these PostgreSQL's numeric rounds or refuses, and JavaScript only knows 0 and Infinity. */
const MAX_EXPONENT = 1000;
const MAX_DIGITS = 1000;

const TOKEN = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|[{}[\],:]|-?\d[\d.eE+-]*/g;

/**
 * Reads a well-formed JSON text token by token and tells what JSON.parse does not: how deep it is and whether an object has
 * a key twice. `normalized` is the same text with every string in JSON's shortest escapes.
 */
export function scanJson(
  text: string,
  { anyNumber = false } = {},
): { normalized: string; depth: number; duplicateKeys: boolean } {
  const open: (Set<string> | null)[] = []; // the keys seen in each open object; null for an array
  let normalized = '';
  let copied = 0;
  let depth = 0;
  let duplicateKeys = false;
  let keyIsNext = false;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    switch (token[0]) {
      case '"': {
        let string = token;
        if (token.includes('\\')) {
          string = JSON.stringify(JSON.parse(token));
          if (string !== token) {
            normalized += text.slice(copied, index) + string;
            copied = index + token.length;
          }
        }
        if (keyIsNext) {
          const keys = open.at(-1);
          if (keys?.has(string)) duplicateKeys = true;
          keys?.add(string);
          keyIsNext = false;
        }
        break;
      }
      case '{':
      case '[':
        open.push(token === '{' ? new Set() : null);
        if (open.length > depth) depth = open.length;
        keyIsNext = token === '{';
        break;
      case '}':
      case ']':
        open.pop();
        keyIsNext = false;
        break;
      case ',':
        keyIsNext = open.at(-1) instanceof Set;
        break;
      case ':':
        break;
      default:
        if (!anyNumber) checkNumber(token);
    }
  }
  return { normalized: copied ? normalized + text.slice(copied) : text, depth, duplicateKeys };
}

/** A string that stands as a value in a JSON text: what it says, its path, and where its token is. */
export interface StringValue {
  readonly value: string;
  readonly path: readonly (string | number)[];
  readonly start: number;
  readonly end: number;
  /** It is the only member of an object. */
  readonly alone: boolean;
}

const CLOSES = /\s*\}/y;

/** Every string that stands as a value in a well-formed JSON text, in the text's order. */
export function* stringValues(text: string): Iterable<StringValue> {
  const path: (string | number)[] = []; // the last member is the key, or the index, of what comes next
  let keyIsNext = false;
  let members = 0; // of the innermost object, so far
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    switch (token[0]) {
      case '"':
        if (keyIsNext) {
          path[path.length - 1] = JSON.parse(token) as string;
          keyIsNext = false;
          members++;
        } else {
          const end = index + token.length;
          CLOSES.lastIndex = end;
          const alone = typeof path.at(-1) === 'string' && members === 1 && CLOSES.test(text);
          yield { value: JSON.parse(token) as string, path: [...path], start: index, end, alone };
        }
        break;
      case '{':
        path.push('');
        keyIsNext = true;
        members = 0;
        break;
      case '[':
        path.push(0);
        break;
      case '}':
      case ']':
        path.pop();
        keyIsNext = false;
        members = 2; // the object around it has a member that is no text: none in it is alone
        break;
      case ',': {
        const last = path.at(-1);
        if (typeof last === 'number') path[path.length - 1] = last + 1;
        else keyIsNext = true;
        break;
      }
    }
  }
}

function checkNumber(token: string): void {
  const [digits = '', exponent] = token.split(/[eE]/);
  if (digits.length > MAX_DIGITS || Math.abs(Number(exponent ?? 0)) > MAX_EXPONENT)
    throw new ValidationError([
      { path: '', message: `holds a number of over ${MAX_DIGITS} digits or an exponent beyond ±${MAX_EXPONENT}` },
    ]);
}
