const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/g;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * The one spelling of a JSON text that equal values share. Numbers stand by their decimal value with every digit, strings by
 * their code units, members in the order of their keys, equal keys in the order in which they stand. No number and no object
 * of JavaScript comes into it: they would round the one and drop members of the other. The text is JSON, by `isJson`.
 */
export function canonicalJson(text: string): string {
  return new Writer(text.match(TOKEN) ?? []).value();
}

/** Reads tokens of a text that is known to be JSON. */
class Writer {
  #at = 0;

  constructor(private readonly tokens: readonly string[]) {}

  value(): string {
    const token = this.#next();
    if (token === '{') return `{${this.#members().join()}}`;
    if (token === '[') return `[${this.#elements().join()}]`;
    if (token.startsWith('"')) return canonicalString(token);
    return /^[-\d]/.test(token) ? canonicalNumber(token) : token;
  }

  #members(): readonly string[] {
    const members: { readonly key: string; readonly value: string }[] = [];
    while (!this.#ends('}')) {
      const key = canonicalString(this.#next());
      this.#next(); // the colon
      members.push({ key, value: this.value() });
    }
    // the sort is stable: equal keys keep their order
    return members
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      .map(({ key, value }) => `${key}:${value}`);
  }

  #elements(): readonly string[] {
    const elements: string[] = [];
    while (!this.#ends(']')) elements.push(this.value());
    return elements;
  }

  /** Steps over a comma, or over the end. */
  #ends(end: string): boolean {
    const token = this.tokens[this.#at];
    if (token === end || token === ',') this.#at++;
    return token === end;
  }

  #next(): string {
    return this.tokens[this.#at++] as string; // well-formed: a value never lacks its last token
  }
}

const canonicalString = (token: string) => JSON.stringify(JSON.parse(token));

/** `-1.50e3` → `-15e2`; `1.0` → `1`; `0`, `-0` and `0.00` → `0`. */
function canonicalNumber(token: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(token) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}${power ? `e${power}` : ''}`;
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
