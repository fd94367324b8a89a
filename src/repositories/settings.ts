import { inspect } from 'node:util';
import { getTableName, sql } from 'drizzle-orm';
import type { RawJson } from '../codecs/json.ts';
import { REDACTED } from '../codecs/secret.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import { check, isStandardSchema, issuesOf } from '../model/check-schema.ts';
import type { Setting } from '../model/configuration.ts';
import { limitedText, type Patch } from '../model/fields.ts';
import type { JsonValue } from '../model/json.ts';
import { parse } from '../model/parse.ts';
import type { SchemaInput, SchemaOutput, StandardSchema } from '../model/schema.ts';
import {
  type BuiltInSettings,
  builtInSettings,
  type MaskedSetting,
  type SettingDefinition,
  secretMembers,
} from '../model/settings.ts';
import { type Context, secretJson } from './context.ts';

const settingKey = limitedText(200);

/**
 * The settings: JSON values by key. Triage Warden's own have their types and defaults; a service's own keys get theirs by
 * `define`. Mark credentials with `secret()`, at any depth.
 */
export class Settings {
  /** @internal */
  constructor(
    /** @internal */
    protected readonly cx: Context,
  ) {}

  /**
   * Gives a key of a service's own its type. The definition is taken by `get`, `set`, `update` and `delete` of every handle. A
   * schema that accepts `undefined` tells with it what the setting is before it was set.
   *
   * @example
   * const shift = store.settings.define('soc_shift', z.object({ lead: z.string() }))
   * await store.settings.set(shift, { lead: 'alice' })
   *
   * @throws ValidationError for a key that Triage Warden has itself.
   */
  define<S extends StandardSchema>(key: string, schema: S): SettingDefinition<S> {
    const checked = parse(settingKey, key, 'key');
    if (Object.hasOwn(builtInSettings, checked))
      throw new ValidationError([{ path: 'key', message: 'is one of the built-in settings' }]);
    if (!isStandardSchema(schema)) throw new ValidationError([{ path: 'schema', message: 'is not a schema' }]);
    return Object.freeze({ key: checked, schema });
  }

  /**
   * Reads a setting; where nothing was set, its default.
   *
   * @throws NotFoundError when it is not set and has no default; DecodeError when what is stored does not fit the schema.
   */
  async get<K extends keyof BuiltInSettings>(key: K): Promise<BuiltInSettings[K]>;
  async get<S extends StandardSchema>(setting: SettingDefinition<S>): Promise<SchemaOutput<S>>;
  async get(setting: keyof BuiltInSettings | SettingDefinition): Promise<unknown> {
    const { key, schema } = definitionOf(setting);
    const row = await this.#find(key);
    if (row) return this.cx.decoders.output(schema, row.value, 'settings', 'value', key);
    const initial = check(schema, startOf(key));
    if (initial.issues) throw new NotFoundError('settings', key);
    return initial.value;
  }

  /**
   * Sets a setting, in place of what it was.
   *
   * @throws ValidationError when it does not fit the schema; CryptoError for a secret without a key.
   */
  async set<K extends keyof BuiltInSettings>(key: K, value: BuiltInSettings[K]): Promise<BuiltInSettings[K]>;
  async set<S extends StandardSchema>(setting: SettingDefinition<S>, value: SchemaInput<S>): Promise<SchemaOutput<S>>;
  async set(setting: keyof BuiltInSettings | SettingDefinition, value: unknown): Promise<unknown> {
    const { key, schema } = definitionOf(setting);
    refusePlainSecrets(key, value);
    const output = fitting(schema, value);
    const save = this.#write(
      'set',
      () =>
        sql`${this.#insert()} on conflict (key) do update set value = excluded.value, updated_at = ${this.cx.dialect.later(this.#table.updatedAt, 'updated_at')}`,
    );
    await this.cx.driver.exec(save.query(this.#row(key, value)));
    return output;
  }

  /**
   * Sets members of a setting that is an object, and keeps the others: undefined keeps, null is set. Of two at once, both
   * count. The whole must fit the schema.
   *
   * @throws ValidationError; CryptoError for a secret without a key.
   */
  async update<K extends keyof BuiltInSettings>(key: K, patch: Patch<BuiltInSettings[K]>): Promise<BuiltInSettings[K]>;
  async update<S extends StandardSchema>(
    setting: SettingDefinition<S>,
    patch: Patch<SchemaInput<S>>,
  ): Promise<SchemaOutput<S>>;
  async update(setting: keyof BuiltInSettings | SettingDefinition, patch: object): Promise<unknown> {
    const { key, schema } = definitionOf(setting);
    if (!isPlain(patch)) throw new ValidationError([{ path: 'patch', message: 'is not a plain object' }]);
    refusePlainSecrets(key, patch);
    const given = Object.entries(patch).filter(([, value]) => value !== undefined);
    if (!given.length) return this.get({ key, schema });
    return this.cx.driver.transaction(async (driver) =>
      new Settings({ ...this.cx, driver, inTransaction: true }).#merge(key, schema, given),
    );
  }

  /** Removes a setting, so that it has its default again; answers whether it was set. */
  async delete(setting: keyof BuiltInSettings | SettingDefinition | string): Promise<boolean> {
    const key = parse(settingKey, typeof setting === 'string' ? setting : setting?.key, 'key');
    const remove = this.#write('delete', () => sql`delete from ${this.#table} where ${this.#byKey()}`);
    return (await this.cx.driver.exec(remove.query({ key }))).count > 0;
  }

  /** Lists what is set, by key, whether it is known here or not. Secrets are masked: this is safe to show. */
  async list(): Promise<readonly MaskedSetting[]> {
    const { decoders, dialect, driver } = this.cx;
    const all = this.#read(
      'all',
      () => sql`select ${this.#columns()} from ${this.#table} order by ${dialect.ordered(this.#table.key)}`,
    );
    return (await driver.exec(all.query({}))).rows.map(decoders.of('settings')).map(masked);
  }

  /** Reads any setting as it is listed; null when it is not set. Secrets are masked: this is safe to show. */
  async raw(key: string): Promise<MaskedSetting | null> {
    const row = await this.#find(parse(settingKey, key, 'key'));
    return row && masked(row);
  }

  /** Within a transaction. */
  async #merge(key: string, schema: StandardSchema, given: Members): Promise<unknown> {
    const { decoders, dialect, driver, settings } = this.cx;
    const table = this.#table;
    // inserts it, or locks it: of two that set it first, one waits
    const lock = this.#write(
      'lock',
      () => sql`${this.#insert()} on conflict (key) do update set key = excluded.key returning ${this.#columns()}`,
    );
    const { rows } = await driver.exec(lock.query(this.#row(key, {})));
    const { value } = decoders.of('settings')(rows[0] as readonly unknown[]); // an upsert answers its row
    if (!isObject(value))
      throw new ValidationError([
        { path: 'patch', message: 'is for an object, which this setting is not: set it whole' },
      ]);
    const { output, members } = merged(key, schema, Object.entries(value), given);
    const place = this.#place(key);
    const pairs = members.map(([name, member]): readonly [string, RawJson] => [
      name,
      secretJson(this.cx, member, name, place, [name]),
    ]);
    const merge = this.#write(
      `merge ${pairs.length}`,
      () =>
        sql`update ${table} set value = ${dialect.merge(table.value, 'members', pairs.length)}, updated_at = ${dialect.later(table.updatedAt, 'now')} where ${this.#byKey()}`,
    );
    await driver.exec(merge.query({ key, members: pairs, now: settings.now() }));
    return output;
  }

  /** Printed, it shows nothing of its inside. @internal */
  [inspect.custom](): string {
    return 'Settings {}';
  }

  async #find(key: string): Promise<Setting | null> {
    const { decoders, driver } = this.cx;
    const find = this.#read(
      'find',
      () => sql`select ${this.#columns()} from ${this.#table} where ${this.#byKey()}`,
      true,
    );
    const { rows } = await driver.exec(find.query({ key }));
    return rows[0] ? decoders.of('settings')(rows[0]) : null;
  }

  #row(key: string, value: unknown) {
    return { key, value: secretJson(this.cx, value, 'value', this.#place(key)), updated_at: this.cx.settings.now() };
  }

  #place(id: string) {
    return { table: getTableName(this.#table), column: 'value', id };
  }

  get #table() {
    return this.cx.dialect.tables.settings;
  }

  #columns() {
    const { key, value, updatedAt } = this.#table;
    return sql`${key}, ${value}, ${updatedAt}`;
  }

  #byKey() {
    return sql`${this.#table.key} = ${this.cx.dialect.value(this.#table.key, 'key')}`;
  }

  #insert() {
    const { dialect } = this.cx;
    const { key, value, updatedAt } = this.#table;
    return sql`insert into ${this.#table} (key, value, updated_at) values (${dialect.value(key, 'key')}, ${dialect.value(value, 'value')}, ${dialect.value(updatedAt, 'updated_at')})`;
  }

  #read(name: string, write: () => ReturnType<typeof sql>, byKey = false) {
    return this.cx.statements.one(`settings.${name}`, write, {
      reads: true,
      byKey,
      fresh: true, // services act by them
    });
  }

  #write(name: string, write: () => ReturnType<typeof sql>) {
    return this.cx.statements.one(`settings.${name}`, write, { reads: false });
  }
}

function definitionOf(setting: keyof BuiltInSettings | SettingDefinition): SettingDefinition {
  if (typeof setting !== 'string') {
    if (!isObject(setting) || !isStandardSchema(setting.schema))
      throw new ValidationError([{ path: 'setting', message: 'is neither a key nor a definition' }]);
    return { key: parse(settingKey, setting.key, 'key'), schema: setting.schema };
  }
  if (!Object.hasOwn(builtInSettings, setting))
    throw new ValidationError([
      { path: 'key', message: 'is no built-in setting: define it first, or read it with raw()' },
    ]);
  return { key: setting, schema: builtInSettings[setting] };
}

/** What the schema is asked about where nothing was set. */
const startOf = (key: string) => (Object.hasOwn(builtInSettings, key) ? {} : undefined);

type Members = readonly (readonly [string, unknown])[];

/**
 * What the schema makes of a setting and its new members. Where nothing was set, its default counts if they do not fit without
 * it; then that is stored with them.
 */
function merged(key: string, schema: StandardSchema, stored: Members, given: Members) {
  const alone = check(schema, Object.fromEntries([...stored, ...given]));
  if (!alone.issues) return { output: alone.value, members: given };
  const start = stored.length ? undefined : check(schema, startOf(key));
  if (!start || start.issues || !isObject(start.value))
    throw new ValidationError(issuesOf(schema, alone.issues, 'value'));
  const members = Object.entries({ ...start.value, ...Object.fromEntries(given) });
  return { output: fitting(schema, Object.fromEntries(members)), members };
}

/** What the schema makes of a value. @throws ValidationError when it does not fit. */
function fitting(schema: StandardSchema, value: unknown): unknown {
  const result = check(schema, value);
  if (result.issues) throw new ValidationError(issuesOf(schema, result.issues, 'value'));
  return result.value;
}

/** A plain text where a secret belongs is read, since other writers left some, but never written. */
function refusePlainSecrets(key: string, value: unknown): void {
  for (const member of secretMembers[key] ?? [])
    if (isObject(value) && typeof value[member] === 'string')
      throw new ValidationError([{ path: `value.${member}`, message: 'is plain text: pass secret(text), or null' }]);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isPlain = (value: unknown): value is object =>
  isObject(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value));

/** A setting as it may be shown: a secret prints as its mask, and so does a text where a secret belongs. */
function masked({ key, value, updatedAt }: Setting): MaskedSetting {
  const shown = JSON.parse(JSON.stringify(value)) as JsonValue;
  if (isObject(shown))
    for (const member of secretMembers[key] ?? [])
      if (typeof shown[member] === 'string' && shown[member] !== '') Object.assign(shown, { [member]: REDACTED });
  return { key, value: shown, updatedAt };
}
