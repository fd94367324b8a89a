import { joinPath } from '../codecs/json.ts';
import { ConfigurationError, type Issue } from '../errors.ts';
import type { SchemaIssue, SchemaResult, StandardSchema } from './schema.ts';

export const isStandardSchema = (value: unknown): value is StandardSchema =>
  (typeof value === 'object' || typeof value === 'function') &&
  value !== null &&
  '~standard' in value &&
  typeof (value['~standard'] as { validate?: unknown } | undefined)?.validate === 'function';

/** Asks a schema about a value. @throws ConfigurationError when it answers with a promise. */
export function check<Output>(schema: StandardSchema<unknown, Output>, value: unknown): SchemaResult<Output> {
  let result: SchemaResult<Output> | Promise<SchemaResult<Output>>;
  try {
    result = schema['~standard'].validate(value);
  } catch {
    return { issues: [{ message: '' }] }; // no cause: what a rule throws may quote the value
  }
  if (typeof result !== 'object' || result === null || 'then' in result) {
    if (result instanceof Promise) result.catch(() => {}); // nobody waits for it
    throw new ConfigurationError(
      'A schema of a JSON column must answer at once, as Standard Schema says: with a value or issues',
    );
  }
  return result;
}

/** What a schema found. Its messages may quote the value, so only what zod says of the rule itself is taken over. */
export const issuesOf = (schema: StandardSchema, issues: readonly SchemaIssue[], path: string): readonly Issue[] =>
  issues.map((issue) => ({
    path: joinPath(
      path,
      (issue.path ?? []).map((key) => (typeof key === 'object' ? key.key : key)),
    ),
    message: `does not fit its schema${schema['~standard'].vendor === 'zod' ? ruleOf(issue) : ''}`,
  }));

function ruleOf(issue: object): string {
  const { code, expected } = issue as { code?: unknown; expected?: unknown };
  if (typeof code !== 'string' || code === 'custom') return '';
  return ` (${code}${typeof expected === 'string' ? `, expected ${expected}` : ''})`;
}
