import { z } from 'zod';

/** A UUID as it is stored. */
export const STORED_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A UUID of any version, in the one spelling that both databases compare equal. */
export const uuid = z.guid().toLowerCase();

/** Whether a TEXT column of both databases can hold it. */
export const isStorable = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

/** Text for a TEXT column: PostgreSQL refuses U+0000, and a lone surrogate would be replaced on both databases. */
export const text = z.string().refine(isStorable, 'holds U+0000 or a lone surrogate, which a text column cannot store');

/** Text of 1 to `max` characters. */
export const limitedText = (max: number) => text.min(1).max(max);

/** Text of 1 to `max` characters; null clears, undefined keeps. */
export const optionalText = (max: number) => limitedText(max).nullish();

/** A label that a user gives. */
export const tag = limitedText(200);

/** Who does something: a user name, or a service such as `system`. */
export const actor = limitedText(200);

/** JSON of any shape: what it may hold is checked where it is encoded. */
export const anyJson = z.custom<unknown>((value) => value !== undefined, 'is required');

/** One of these, or a list of them: what a filter asks for. */
export const oneOrMany = <T extends z.ZodType>(schema: T) => z.union([schema, z.array(schema).max(500)]);

/** Some members of an input: what is left out, or undefined, keeps its value. */
export type Patch<Input> = { readonly [K in keyof Input]?: Input[K] | undefined };
