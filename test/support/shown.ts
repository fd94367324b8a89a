import { inspect } from 'node:util';

/** Everything that an error shows in any way, with all of its causes. */
export function everythingOf(error: unknown): string {
  const parts: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) {
    parts.push(at.message, at.stack ?? '', String(at), JSON.stringify(at), inspect(at, { showHidden: true, depth: 9 }));
    for (const name of Object.getOwnPropertyNames(at))
      parts.push(inspect(Reflect.get(at, name), { depth: 9, showHidden: true }));
  }
  return parts.join('\n');
}

/** What a value shows when it is logged, printed, copied or sent as JSON. */
export const printed = (value: unknown): string =>
  [
    String(JSON.stringify(value)),
    inspect(value, { depth: 12 }),
    inspect(value, { depth: 12, getters: true }),
    String(value),
    typeof value === 'object' ? inspect({ ...value }, { depth: 12 }) : '',
  ].join('\n');
