import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { parseTimestamp } from '../codecs/timestamp.ts';
import {
  type Connector,
  type ConnectorPatch,
  connectorPatch,
  type NewConnector,
  newConnector,
} from '../model/configuration.ts';
import { limitedText, oneOrMany } from '../model/fields.ts';
import { parse, parseId } from '../model/parse.ts';
import type { NoSchemas, Typed, TypedInput } from '../model/schema.ts';
import { CONNECTOR_STATUSES, type ConnectorStatus } from '../model/values.ts';
import { Conditions } from './conditions.ts';
import { byName, ConfigurationRepository, type ConfigurationSort } from './configuration-repository.ts';

/** Which connectors a list holds. */
export interface ConnectorFilter {
  readonly type?: Connector['connectorType'] | readonly Connector['connectorType'][] | undefined;
  readonly status?: ConnectorStatus | readonly ConnectorStatus[] | undefined;
  readonly enabled?: boolean | undefined;
  /** Without regard to the case of ASCII letters; `%`, `_` and `\` mean themselves. */
  readonly nameContains?: string | undefined;
}

/** How the connectors do. */
export interface ConnectorStats {
  readonly total: number;
  readonly enabled: number;
  readonly byStatus: Readonly<Record<ConnectorStatus, number>>;
  /** Those whose health was never checked. */
  readonly unchecked: number;
  /** The health check that is the longest ago; null when there was none. */
  readonly oldestCheck: Date | null;
}

const filterSchema = z.strictObject({
  type: oneOrMany(limitedText(100)).optional(),
  status: oneOrMany(z.enum(CONNECTOR_STATUSES)).optional(),
  enabled: z.boolean().optional(),
  nameContains: limitedText(200).optional(),
});

/** The connectors: integrations with other systems. Mark credentials in `config` with `secret()`. */
export class Connectors<S = NoSchemas> extends ConfigurationRepository<
  'connectors',
  TypedInput<NewConnector, S>,
  TypedInput<ConnectorPatch, S>,
  ConnectorFilter,
  ConfigurationSort,
  Typed<Connector, S>
> {
  /** @internal */
  protected readonly sorts = byName;
  /** @internal */
  protected readonly shape = {
    create: newConnector,
    patch: connectorPatch,
    defaults: { config: {}, status: 'unknown', enabled: true, lastHealthCheck: null },
    json: ['config'],
  };

  /** Sets how it was last seen. It is no edit, so `updatedAt` stays. @throws NotFoundError */
  async setStatus(id: string, status: ConnectorStatus): Promise<Typed<Connector, S>> {
    const key = parseId(id);
    const row = await this.change(key, {
      name: 'setStatus',
      set: { status: this.cx.dialect.value(this.table.status, 'status') },
      values: { status: parse(z.enum(CONNECTOR_STATUSES), status, 'status') },
    });
    if (!row) throw await this.refusal(key, '');
    return row;
  }

  /**
   * Records what a health check found, and when: now, by the clock of the store, unless it is given. It is no edit, so `updatedAt` stays. A check that
   * comes in after a later one changes nothing; a time in the future that a clock ahead has left stands in no way.
   *
   * @throws NotFoundError; ValidationError for a time in the future, by more than 5 seconds.
   */
  async recordHealthCheck(id: string, status: ConnectorStatus, at?: Date): Promise<Typed<Connector, S>> {
    return this.changeAsOf(parseId(id), parse(z.date().optional(), at, 'at'), {
      name: 'recordHealthCheck',
      key: 'lastHealthCheck',
      set: { status: this.cx.dialect.value(this.table.status, 'status') },
      values: { status: parse(z.enum(CONNECTOR_STATUSES), status, 'status') },
    });
  }

  /** How the connectors that fit the filter were last seen, in one statement. Statuses without one count 0. */
  async stats(filter: ConnectorFilter = {}): Promise<ConnectorStats> {
    const conditions = this.conditions(filter);
    const { dialect, driver } = this.cx;
    const { status, enabled, lastHealthCheck } = this.table;
    const statement = this.read(
      `stats ${conditions.shape}`,
      () =>
        sql`select ${status}, count(*), sum(case when ${enabled} = ${dialect.value(enabled, 'on')} then 1 else 0 end), sum(case when ${lastHealthCheck} is null then 1 else 0 end), min(${lastHealthCheck}) from ${this.table}${conditions.where()} group by ${status}`,
    );
    const { rows } = await driver.exec(statement.query({ ...conditions.values, on: true }));
    const byStatus = Object.fromEntries(CONNECTOR_STATUSES.map((one) => [one, 0])) as Record<ConnectorStatus, number>;
    let [total, on, unchecked] = [0, 0, 0];
    let oldestCheck: Date | null = null;
    const decode = this.cx.decoders.of('connectors', ['status']); // others may have written another
    for (const row of rows) decode(row);
    for (const [one, count, enabledCount, never, oldest] of rows as [
      ConnectorStatus,
      unknown,
      unknown,
      unknown,
      string | null,
    ][]) {
      byStatus[one] += Number(count);
      total += Number(count);
      on += Number(enabledCount);
      unchecked += Number(never);
      const at = oldest === null ? null : parseTimestamp(oldest);
      if (at && (!oldestCheck || at < oldestCheck)) oldestCheck = at;
    }
    return { total, enabled: on, byStatus, unchecked, oldestCheck };
  }

  /** @internal */
  protected conditions(filter: ConnectorFilter): Conditions {
    const { type, status, enabled, nameContains } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    return new Conditions(this.cx.dialect)
      .oneOf(t.connectorType, type)
      .oneOf(t.status, status)
      .equals(t.enabled, enabled)
      .textIn([t.name], nameContains);
  }
}
