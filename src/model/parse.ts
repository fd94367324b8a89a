import type { z } from 'zod';
import { joinPath } from '../codecs/json.ts';
import { ValidationError } from '../errors.ts';
import { STORED_UUID, uuid } from './fields.ts';

/** Checks an input against its schema; `path` is where the input stands in the call. */
export function parse<S extends z.ZodType>(schema: S, input: unknown, path = ''): z.output<S> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new ValidationError(
    parsed.error.issues.map((issue) => ({
      path: joinPath(path, issue.path),
      message: issue.message.replace(/^[A-Z]/, (letter) => letter.toLowerCase()),
    })),
  );
}

/** Checks each of several inputs; `path` is where it stands in the call. */
export function parseEach<Input, Output>(
  inputs: Iterable<Input>,
  parseOne: (input: Input, path: string) => Output,
): readonly Output[] {
  if (typeof inputs !== 'object' || inputs === null || !(Symbol.iterator in inputs))
    throw new ValidationError([{ path: '', message: 'is not a list' }]);
  return Array.from(inputs, (input, i) => parseOne(input, `[${i}]`));
}

/** Checks an id, and spells it as it is stored. */
export const parseId = (id: string, path = 'id'): string =>
  typeof id === 'string' && STORED_UUID.test(id) ? id : parse(uuid, id, path); // every read by id asks this
