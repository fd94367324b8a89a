/**
 * The caller's own types of JSON columns: any validator that follows Standard Schema (zod, valibot, arktype, …). What is
 * written is checked against it and stored as it was given; what is read is what the schema makes of the stored value.
 */

import type { RawJson } from '../codecs/json.ts';
import type { Lease } from './action.ts';
import type { Patch } from './fields.ts';

/** What every validator that follows Standard Schema is, version 1: https://standardschema.dev */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema says of a value. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema takes. */
export type SchemaInput<S extends StandardSchema> = NonNullable<S['~standard']['types']>['input'];

/** What a schema makes of it. */
export type SchemaOutput<S extends StandardSchema> = NonNullable<S['~standard']['types']>['output'];

type Schemas<Columns extends string> = { readonly [C in Columns]?: StandardSchema | undefined };

/**
 * Schemas of the columns whose content is the caller's. The library's own checks hold besides: an enrichment has its type,
 * source and data. A schema must answer at once, without a promise.
 */
export interface JsonSchemas {
  readonly incidents?:
    | Schemas<'source' | 'alertData' | 'enrichments' | 'analysis' | 'proposedActions' | 'metadata'>
    | undefined;
  readonly actions?: Schemas<'target' | 'parameters' | 'result'> | undefined;
  readonly playbooks?: Schemas<'stages'> | undefined;
  readonly connectors?: Schemas<'config'> | undefined;
  readonly notificationChannels?: Schemas<'config'> | undefined;
}

/** No column has a schema of the caller's. */
export type NoSchemas = Record<never, never>;

/** The schemas of one table. */
export type SchemasOf<J, Table extends string> = Table extends keyof J ? NonNullable<J[Table]> : NoSchemas;

/** The columns that are null until they are set. */
type Nullable = 'analysis' | 'result';

/** What stands in `result` of an action while a worker holds it. */
interface Held {
  readonly lease: Lease;
}

/** A row whose JSON columns have the types of these schemas. */
export type Typed<Row, S> = [keyof S] extends [never]
  ? Row
  : {
      readonly [K in keyof Row]: K extends keyof S
        ? S[K] extends StandardSchema
          ? SchemaOutput<S[K]> | (K extends Nullable ? null : never) | (K extends 'result' ? Held : never)
          : Row[K]
        : Row[K];
    };

/** An input whose JSON columns have the types of these schemas. */
export type TypedInput<Input, S> = [keyof S] extends [never]
  ? Input
  : {
      readonly [K in keyof Input]: K extends keyof S
        ? S[K] extends StandardSchema
          ?
              | SchemaInput<S[K]>
              | (undefined extends Input[K] ? undefined : never)
              | (K extends Nullable ? null : never)
              | (K extends 'alertData' ? RawJson : never)
          : Input[K]
        : Input[K];
    };

/** A value for one column. */
export type TypedValue<Value, S, Column extends string> = Column extends keyof S
  ? S[Column] extends StandardSchema
    ? SchemaInput<S[Column]>
    : Value
  : Value;

/** One element of a list that a schema describes. */
export type TypedElement<Element, S, Column extends string> =
  Extract<TypedValue<readonly Element[], S, Column>, readonly unknown[]> extends infer List extends readonly unknown[]
    ? [List] extends [never]
      ? Element
      : List[number]
    : Element;

/** Some members of an object that a schema describes. */
export type TypedMembers<Members, S, Column extends string> = Column extends keyof S
  ? Patch<TypedValue<Members, S, Column>>
  : Members;
