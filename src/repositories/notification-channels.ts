import { z } from 'zod';
import {
  type NewNotificationChannel,
  type NotificationChannel,
  type NotificationChannelPatch,
  newNotificationChannel,
  notificationChannelPatch,
} from '../model/configuration.ts';
import { limitedText, oneOrMany } from '../model/fields.ts';
import { parse } from '../model/parse.ts';
import type { NoSchemas, Typed, TypedInput } from '../model/schema.ts';
import { CHANNEL_TYPES, type ChannelType } from '../model/values.ts';
import { Conditions } from './conditions.ts';
import { byName, ConfigurationRepository, type ConfigurationSort } from './configuration-repository.ts';

/** Which channels a list holds. */
export interface NotificationChannelFilter {
  readonly type?: ChannelType | readonly ChannelType[] | undefined;
  readonly enabled?: boolean | undefined;
  /** Is subscribed to this event, or to any of these. */
  readonly event?: string | readonly string[] | undefined;
  /** Without regard to the case of ASCII letters; `%`, `_` and `\` mean themselves. */
  readonly nameContains?: string | undefined;
}

const event = limitedText(200);
const filterSchema = z.strictObject({
  type: oneOrMany(z.enum(CHANNEL_TYPES)).optional(),
  enabled: z.boolean().optional(),
  event: oneOrMany(event).optional(),
  nameContains: limitedText(200).optional(),
});

/** The notification channels: where notifications of some events go. Mark credentials in `config` with `secret()`. */
export class NotificationChannels<S = NoSchemas> extends ConfigurationRepository<
  'notificationChannels',
  TypedInput<NewNotificationChannel, S>,
  TypedInput<NotificationChannelPatch, S>,
  NotificationChannelFilter,
  ConfigurationSort,
  Typed<NotificationChannel, S>
> {
  /** @internal */
  protected readonly sorts = byName;
  /** @internal */
  protected readonly shape = {
    create: newNotificationChannel,
    patch: notificationChannelPatch,
    defaults: { config: {}, events: [], enabled: true },
    json: ['config', 'events'],
  };

  /** Lists the enabled channels that are subscribed to an event, all of them, by name. */
  async listByEvent(name: string): Promise<readonly Typed<NotificationChannel, S>[]> {
    return this.listAll(this.conditions({ enabled: true, event: parse(event, name, 'event') }), 'name');
  }

  /** @internal */
  protected conditions(filter: NotificationChannelFilter): Conditions {
    const { type, enabled, event, nameContains } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    return new Conditions(this.cx.dialect)
      .oneOf(t.channelType, type)
      .equals(t.enabled, enabled)
      .includes(t.events, event, 'any')
      .textIn([t.name], nameContains);
  }
}
