import { z } from 'zod';
import { type NewPolicy, newPolicy, type Policy, type PolicyPatch, policyPatch } from '../model/configuration.ts';
import { limitedText, oneOrMany } from '../model/fields.ts';
import { parse } from '../model/parse.ts';
import { POLICY_ACTIONS, type PolicyAction } from '../model/values.ts';
import { Conditions } from './conditions.ts';
import { byName, ConfigurationRepository, type ConfigurationSort } from './configuration-repository.ts';
import { ascending } from './reader.ts';

/** Which policies a list holds. */
export interface PolicyFilter {
  readonly enabled?: boolean | undefined;
  readonly action?: PolicyAction | readonly PolicyAction[] | undefined;
  /** Without regard to the case of ASCII letters; `%`, `_` and `\` mean themselves. */
  readonly nameContains?: string | undefined;
}

/** The orders of a list of policies: as they are evaluated, or by name or creation. */
export type PolicySort = 'evaluation' | ConfigurationSort;

const filterSchema = z.strictObject({
  enabled: z.boolean().optional(),
  action: oneOrMany(z.enum(POLICY_ACTIONS)).optional(),
  nameContains: limitedText(200).optional(),
});

/** The policies, which decide about proposed actions. */
export class Policies extends ConfigurationRepository<'policies', NewPolicy, PolicyPatch, PolicyFilter, PolicySort> {
  /** @internal */
  protected readonly sorts = { evaluation: ascending('priority', 'createdAt'), ...byName };
  /** @internal */
  protected readonly shape = {
    create: newPolicy,
    patch: policyPatch,
    defaults: { description: null, approvalLevel: null, priority: 0, enabled: true },
    json: [],
  };

  /**
   * Lists the enabled policies, all of them as they are at one moment, in the order in which they are evaluated: the lowest
   * priority number first, then the oldest, then by id.
   */
  async listEnabled(): Promise<readonly Policy[]> {
    return this.listAll(this.conditions({ enabled: true }), 'evaluation', { fresh: true });
  }

  /** @internal */
  protected conditions(filter: PolicyFilter): Conditions {
    const { enabled, action, nameContains } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    return new Conditions(this.cx.dialect)
      .equals(t.enabled, enabled)
      .oneOf(t.action, action)
      .textIn([t.name], nameContains);
  }
}
