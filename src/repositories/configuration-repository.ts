import { type Column, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { RawJson } from '../codecs/json.ts';
import type { Values } from '../driver/statement.ts';
import { ConflictError } from '../errors.ts';
import { limitedText } from '../model/fields.ts';
import { parse, parseEach, parseId } from '../model/parse.ts';
import { json, newId, secretJson } from './context.ts';
import { SECRET_COLUMNS } from './decoders.ts';
import { PlainRepository } from './plain-repository.ts';
import { ascending, descending } from './reader.ts';
import type { Rows } from './tables.ts';

/** The tables of named things that are edited, and switched on and off. */
type ConfigurationTable = 'playbooks' | 'connectors' | 'policies' | 'notificationChannels';

/** The orders of a list of configured things. */
export type ConfigurationSort = 'name' | 'newest' | 'oldest';

/** What these repositories are told about their table. */
export interface Shape {
  readonly create: z.ZodType<Values>;
  readonly patch: z.ZodType<Values>;
  /** The values of a new row's columns that an input may leave out. */
  readonly defaults: Values;
  readonly json: readonly string[];
}

export const CHANGED = 'it was changed after ifUpdatedAt';
export const updateOptions = z.strictObject({ ifUpdatedAt: z.date().optional() });
export const byName = { name: ascending('name'), newest: descending('createdAt'), oldest: ascending('createdAt') };

/** Create, edit, switch on and off, remove: the same for all of these tables. */
export abstract class ConfigurationRepository<
  Name extends ConfigurationTable,
  New extends object,
  Patch extends object,
  Filter extends object,
  Sort extends string,
  Row = Rows[Name],
> extends PlainRepository<Name, Filter, Sort, Row> {
  /** @internal */
  protected abstract readonly shape: Shape;

  /** @throws ValidationError before anything is written; UniqueError when the id is taken; CryptoError for a secret without a key. */
  async create(input: New): Promise<Row> {
    return this.insert(this.#new(input, ''));
  }

  /** Creates many: all of them, or none. Answers them in the order given. @throws as `create` */
  async createMany(inputs: Iterable<New>): Promise<readonly Row[]> {
    return this.insertRows(parseEach(inputs, (input, path) => this.#new(input, path)));
  }

  /**
   * Changes what the patch names: undefined keeps, null clears. With `ifUpdatedAt`, only if it was not edited since. An empty
   * patch writes nothing.
   *
   * @throws NotFoundError; ConflictError when it was edited after `ifUpdatedAt`; ValidationError; CryptoError.
   */
  async update(id: string, patch: Patch, options: { readonly ifUpdatedAt?: Date | undefined } = {}): Promise<Row> {
    const key = parseId(id);
    const { ifUpdatedAt } = parse(updateOptions, options);
    const values = this.#encode(parse(this.shape.patch, patch), patch, key, '');
    const names = Object.keys(values);
    if (!names.length) return this.#unchanged(key, ifUpdatedAt);
    const { dialect, settings } = this.cx;
    const columns = this.table as unknown as Readonly<Record<string, Column>>; // the patch's keys are those of columns
    const row = await this.change(key, {
      name: `update${ifUpdatedAt ? ' if' : ''}`,
      set: {
        ...Object.fromEntries(names.map((name) => [name, dialect.value(columns[name] as Column, name)])),
        updatedAt: dialect.later(this.table.updatedAt, 'now'),
      },
      values: { ...values, now: settings.now(), if_updated_at: ifUpdatedAt },
      ...(ifUpdatedAt ? { where: dialect.sameInstant(this.table.updatedAt, 'if_updated_at') } : {}),
    });
    if (!row) throw await this.refusal(key, CHANGED);
    return row;
  }

  /** Switches it on or off. @throws NotFoundError */
  async setEnabled(id: string, enabled: boolean): Promise<Row> {
    return this.#switch(id, 'setEnabled', parse(z.boolean(), enabled, 'enabled'));
  }

  /** Switches it off when it is on, and on when it is off: of two at once, both count. @throws NotFoundError */
  async toggle(id: string): Promise<Row> {
    return this.#switch(id, 'toggle', undefined);
  }

  /** Removes it; answers whether it was there. */
  async delete(id: string): Promise<boolean> {
    return this.remove(parseId(id));
  }

  /** Finds one by its exact name: the first that was created, since names are not unique; null when there is none. */
  async findByName(name: string): Promise<Row | null> {
    const { dialect } = this.cx;
    const { table } = this;
    return this.findWhere(
      'findByName',
      () => sql`${table.name} = ${dialect.value(table.name, 'name')} order by ${table.createdAt}, ${table.id} limit 1`,
      () => ({ name: parse(limitedText(200), name, 'name') }),
    );
  }

  async #switch(id: string, name: string, enabled: boolean | undefined): Promise<Row> {
    const { dialect, settings } = this.cx;
    const { table } = this;
    const key = parseId(id);
    const row = await this.change(key, {
      name,
      set: {
        enabled: enabled === undefined ? sql`not ${table.enabled}` : dialect.value(table.enabled, 'enabled'),
        updatedAt: dialect.later(table.updatedAt, 'now'),
      },
      values: { enabled, now: settings.now() },
    });
    if (!row) throw await this.refusal(key, CHANGED);
    return row;
  }

  async #unchanged(id: string, ifUpdatedAt: Date | undefined): Promise<Row> {
    const row = await this.current(id);
    if (ifUpdatedAt && (row as { updatedAt: Date }).updatedAt.getTime() !== ifUpdatedAt.getTime())
      throw new ConflictError(this.tableName, id, CHANGED);
    return row;
  }

  #new(input: New, path: string): Values {
    const checked = parse(this.shape.create, input, path);
    const id = (checked.id as string | undefined) ?? newId();
    const now = this.cx.settings.now();
    const given = Object.fromEntries(Object.entries(checked).filter(([, value]) => value !== undefined));
    const values = this.#encode({ ...this.shape.defaults, ...given }, input, id, path);
    return { ...values, id, createdAt: now, updatedAt: now };
  }

  /** The values of the columns that are named. JSON is taken from the input itself: the check's answer lacks keys such as `__proto__`. */
  #encode(checked: Values, input: object, id: string, path: string): Values {
    const given = input as Values; // its names were checked
    const values: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(checked)) {
      if (value === undefined || key === 'id') continue;
      const at = path ? `${path}.${key}` : key;
      values[key] = this.shape.json.includes(key) ? this.#json(key, given[key] ?? value, id, at) : value;
    }
    return values;
  }

  #json(key: string, value: unknown, id: string, path: string): RawJson {
    this.cx.decoders.checkInput(this.name, key, value, path);
    return SECRET_COLUMNS[this.name] === key
      ? secretJson(this.cx, value, path, { table: this.tableName, column: key, id })
      : json(this.cx, value, path);
  }
}
