import { z } from 'zod';
import { isSecret, type Secret, secret } from '../codecs/secret.ts';
import type { JsonValue } from './json.ts';
import type { StandardSchema } from './schema.ts';
import { type Known, type LLM_PROVIDERS, OPERATION_MODES, type OperationMode } from './values.ts';

/** The setting `general`. */
export interface GeneralSettings {
  readonly org_name: string;
  /** IANA name, such as `Europe/Berlin`. */
  readonly timezone: string;
  readonly mode: OperationMode;
}

/** The setting `rate_limits`: actions an hour at most. */
export interface RateLimits {
  readonly isolate_host_hour: number;
  readonly disable_user_hour: number;
  readonly block_ip_hour: number;
}

/** The setting `llm`: which language model analyses incidents. */
export interface LlmSettings {
  readonly provider: Known<(typeof LLM_PROVIDERS)[number]>;
  readonly model: string;
  /** Null until it is set. */
  readonly api_key: Secret | null;
  /** Empty for the provider's own. */
  readonly base_url: string;
  readonly max_tokens: number;
  /** 0 to 2. */
  readonly temperature: number;
  readonly enabled: boolean;
}

/** The settings that Triage Warden itself has, by their keys. Members that others store besides are kept. */
export interface BuiltInSettings {
  readonly general: GeneralSettings;
  readonly rate_limits: RateLimits;
  readonly llm: LlmSettings;
}

/** A setting with the caller's own schema: made by `settings.define`. */
export interface SettingDefinition<S extends StandardSchema = StandardSchema> {
  readonly key: string;
  readonly schema: S;
}

/** A setting as it is listed: secrets in it are the text `[redacted]`. */
export interface MaskedSetting {
  readonly key: string;
  readonly value: JsonValue;
  readonly updatedAt: Date;
}

const limit = z.number().int().min(0).max(1_000_000);
const isTimezone = (name: string) => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
};

/** Only a `Secret` is written; what another writer stored as plain text is read as one. */
const storedSecret = z.preprocess(
  (value) => (value === '' || value === undefined ? null : typeof value === 'string' ? secret(value) : value),
  z.custom<Secret>(isSecret, 'is not a secret: pass secret(text), or null').nullable(),
);

/** What each of them holds, and what it is where nothing was set. The defaults are those of Triage Warden's own migrations. */
export const builtInSettings: { readonly [K in keyof BuiltInSettings]: z.ZodType<BuiltInSettings[K]> } = {
  general: z.looseObject({
    org_name: z.string().max(500).default('My Organization'),
    timezone: z.string().refine(isTimezone, 'is not the name of a time zone').default('UTC'),
    mode: z.enum(OPERATION_MODES).default('supervised'),
  }),
  rate_limits: z.looseObject({
    isolate_host_hour: limit.default(10),
    disable_user_hour: limit.default(5),
    block_ip_hour: limit.default(20),
  }),
  llm: z.looseObject({
    provider: z.string().min(1).max(100).default('openai'),
    model: z.string().min(1).max(200).default('gpt-4-turbo'),
    api_key: storedSecret,
    base_url: z.string().max(2000).default(''),
    max_tokens: z.number().int().min(1).max(10_000_000).default(4096),
    temperature: z.number().min(0).max(2).default(0.1),
    enabled: z.boolean().default(true),
  }),
};

/** The members of the built-in settings that are secrets, whatever another writer stored there. */
export const secretMembers: Readonly<Record<string, readonly string[] | undefined>> = { llm: ['api_key'] };
