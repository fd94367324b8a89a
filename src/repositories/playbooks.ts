import { sql } from 'drizzle-orm';
import { z } from 'zod';
import {
  type NewPlaybook,
  newPlaybook,
  type Playbook,
  type PlaybookPatch,
  playbookPatch,
} from '../model/configuration.ts';
import { limitedText, oneOrMany } from '../model/fields.ts';
import { parse, parseId } from '../model/parse.ts';
import type { NoSchemas, Typed, TypedInput } from '../model/schema.ts';
import { TRIGGER_TYPES, type TriggerType } from '../model/values.ts';
import { Conditions } from './conditions.ts';
import { byName, ConfigurationRepository, type ConfigurationSort } from './configuration-repository.ts';

/** Which playbooks a list holds. */
export interface PlaybookFilter {
  readonly enabled?: boolean | undefined;
  readonly triggerType?: TriggerType | readonly TriggerType[] | undefined;
  /** Without regard to the case of ASCII letters; `%`, `_` and `\` mean themselves. */
  readonly nameContains?: string | undefined;
}

const filterSchema = z.strictObject({
  enabled: z.boolean().optional(),
  triggerType: oneOrMany(z.enum(TRIGGER_TYPES)).optional(),
  nameContains: limitedText(200).optional(),
});

/** The playbooks: workflows, and what starts them. */
export class Playbooks<S = NoSchemas> extends ConfigurationRepository<
  'playbooks',
  TypedInput<NewPlaybook, S>,
  TypedInput<PlaybookPatch, S>,
  PlaybookFilter,
  ConfigurationSort,
  Typed<Playbook, S>
> {
  /** @internal */
  protected readonly sorts = byName;
  /** @internal */
  protected readonly shape = {
    create: newPlaybook,
    patch: playbookPatch,
    defaults: { description: null, triggerCondition: null, stages: [], enabled: true, executionCount: 0 },
    json: ['stages'],
  };

  /** Lists the enabled playbooks that such a trigger starts, all of them, by name. */
  async listByTrigger(triggerType: TriggerType): Promise<readonly Typed<Playbook, S>[]> {
    const wanted = parse(z.enum(TRIGGER_TYPES), triggerType, 'triggerType');
    return this.listAll(this.conditions({ enabled: true, triggerType: wanted }), 'name');
  }

  /**
   * Counts a run: however many come at once, each counts. It is no edit, so `updatedAt` stays.
   *
   * @throws NotFoundError.
   */
  async recordExecution(id: string): Promise<Typed<Playbook, S>> {
    const key = parseId(id);
    const row = await this.change(key, {
      name: 'recordExecution',
      set: { executionCount: sql`${this.table.executionCount} + 1` },
      values: {},
    });
    if (!row) throw await this.refusal(key, '');
    return row;
  }

  /** @internal */
  protected conditions(filter: PlaybookFilter): Conditions {
    const { enabled, triggerType, nameContains } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    return new Conditions(this.cx.dialect)
      .equals(t.enabled, enabled)
      .oneOf(t.triggerType, triggerType)
      .textIn([t.name], nameContains);
  }
}
