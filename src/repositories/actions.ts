import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import type { Result } from '../driver/port.ts';
import { bound } from '../driver/statement.ts';
import { ConflictError, DecodeError, ForbiddenError, NotFoundError, ValidationError } from '../errors.ts';
import {
  type Action,
  type ActionType,
  type ClaimedAction,
  type Lease,
  type NewAction,
  newAction,
} from '../model/action.ts';
import type { AuditAction } from '../model/audit-log.ts';
import { anyJson, limitedText, oneOrMany, text, uuid } from '../model/fields.ts';
import type { JsonInput } from '../model/json.ts';
import { leaseOf } from '../model/lease.ts';
import { parse, parseId } from '../model/parse.ts';
import { isSamePerson } from '../model/person.ts';
import type { NoSchemas, Typed, TypedInput, TypedValue } from '../model/schema.ts';
import { APPROVAL_STATUSES, type ApprovalStatus } from '../model/values.ts';
import { ApprovalRequests } from './approval-requests.ts';
import { entry } from './audit.ts';
import { AuditedRepository, type Change } from './audited-repository.ts';
import { Conditions } from './conditions.ts';
import { type Context, columnJson, newId } from './context.ts';
import { firstOfEach } from './first-of-each.ts';
import { clampLimit } from './page.ts';
import { ascending, descending } from './reader.ts';

/** Which actions a list holds. */
export interface ActionFilter {
  readonly incidentId?: string | undefined;
  readonly status?: ApprovalStatus | readonly ApprovalStatus[] | undefined;
  readonly type?: ActionType | readonly ActionType[] | undefined;
  /** Proposed at this time or later. */
  readonly since?: Date | undefined;
  /** Proposed before this time. */
  readonly until?: Date | undefined;
}

/** How many actions there are. */
export interface ActionStats {
  readonly total: number;
  readonly byStatus: Readonly<Record<ApprovalStatus, number>>;
  /** The types that there are, in their order. */
  readonly byType: Readonly<Record<string, number>>;
}

/** The orders of a list of actions, by the time of proposal. */
export type ActionSort = 'newest' | 'oldest';

/** Who claims, how many, and for how long. */
export interface ClaimOptions {
  readonly worker: string;
  /** Actions at most: 1 by default, 200 at most. */
  readonly limit?: number | undefined;
  /** Milliseconds until another worker may take over: 60,000 by default. */
  readonly leaseMs?: number | undefined;
}

/** An action of a store with the caller's schemas, that a worker holds. */
export type Claimed<S> = [keyof S] extends [never] ? ClaimedAction : Typed<Action, S> & { readonly lease: Lease };

/** How an execution ended. */
export interface Outcome<Result = JsonInput> {
  /** The token of the claim's lease; asked for when the action was claimed. */
  readonly lease?: string | undefined;
  /** What came of it: any JSON. */
  readonly result?: Result | null | undefined;
}

const filterSchema = z.strictObject({
  incidentId: uuid.optional(),
  status: oneOrMany(z.enum(APPROVAL_STATUSES)).optional(),
  type: oneOrMany(limitedText(100)).optional(),
  since: z.date().optional(),
  until: z.date().optional(),
});

const leaseMs = z.number().int().min(1).max(86_400_000).default(60_000);
const claimOptions = z.strictObject({ worker: limitedText(200), limit: z.number().optional(), leaseMs });
const leaseSchema = z.looseObject({ worker: limitedText(200), token: uuid });
const outcome = z.strictObject({ lease: z.string().optional(), result: anyJson.nullish() });
const reasonOption = z.strictObject({ reason: text.max(10_000).nullish() });

/**
 * The response actions, from proposal to execution: pending → auto_approved, approved or denied; approved or
 * auto_approved → executed or failed. Every other move is a ConflictError. Every write leaves its audit row in the same
 * transaction.
 */
export class Actions<S = NoSchemas> extends AuditedRepository<'actions', ActionFilter, ActionSort, Typed<Action, S>> {
  /** @internal */
  protected readonly sorts = {
    newest: descending('createdAt'),
    oldest: ascending('createdAt'),
  } as const;

  /**
   * Proposes an action, to be approved. Audit entry: `action_proposed`.
   *
   * @throws ForeignKeyError when the incident does not exist; ValidationError.
   */
  async propose(action: TypedInput<NewAction, S>): Promise<Typed<Action, S>> {
    const checked = parse(newAction, action);
    const { incidentId, actionType, reason } = checked;
    const { target, parameters = {} } = action as NewAction; // a schema only narrows it
    const id = checked.id ?? newId();
    const priority = checked.priority ?? 50;
    return this.insertAudited(
      {
        id,
        incidentId,
        actionType,
        target: columnJson(this.cx, 'actions', 'target', target, 'target'),
        parameters: columnJson(this.cx, 'actions', 'parameters', parameters, 'parameters'),
        reason,
        priority,
        approvalStatus: 'pending',
        approvedBy: null,
        approvalTimestamp: null,
        result: null,
        executedAt: null,
      },
      entry(this.cx, 'action_proposed', { action_id: id, action_type: actionType, priority }),
      ['createdAt'],
    );
  }

  /**
   * Approves a pending action, in the name of the store's actor. An action whose approval was requested at some level is
   * approved by deciding those requests. Audit entry: `action_approved`.
   *
   * @throws NotFoundError; ConflictError when it is not pending, or approval requests are undecided or have expired; ForbiddenError when four-eyes is on
   * and the actor proposed it, or the trail does not say who did.
   */
  async approve(id: string, options: { readonly reason?: string | null | undefined } = {}): Promise<Typed<Action, S>> {
    return this.#settle(id, 'approved', 'action_approved', options);
  }

  /**
   * Approves a pending action by policy; else as `approve`. With four-eyes on, the policy needs an actor of its own, such as
   * `store.as('policy:low-risk')`: who proposed the action cannot approve it this way either. Audit entry: `action_approved`, to `auto_approved`.
   */
  async autoApprove(
    id: string,
    options: { readonly reason?: string | null | undefined } = {},
  ): Promise<Typed<Action, S>> {
    return this.#settle(id, 'auto_approved', 'action_approved', options);
  }

  /**
   * Denies a pending action; its undecided approval requests expire with it. Audit entry: `action_denied`.
   *
   * @throws NotFoundError; ConflictError when it is not pending.
   */
  async deny(id: string, options: { readonly reason?: string | null | undefined } = {}): Promise<Typed<Action, S>> {
    return this.#settle(id, 'denied', 'action_denied', options);
  }

  /**
   * Takes approved actions for execution, the lowest priority number first, then the oldest: each is handed to one worker,
   * until its lease ends. Then another worker may claim it, with a new lease; the old one's token is worth nothing from then
   * on. Audit entry of each: `action_claimed`. Empty when nothing is ready. An action that cannot be read is claimed too, so that it does
   * not stand in the way of others, but not answered: the process warns of it.
   *
   * @throws DecodeError when none of those that were claimed can be read; ValidationError.
   */
  async claim(options: ClaimOptions): Promise<readonly Claimed<S>[]> {
    const { worker, limit, leaseMs } = parse(claimOptions, options);
    const count = clampLimit(limit ?? 1);
    const claimed = await this.changeRows(
      'claim',
      {
        where: (row) => this.#isReady(row),
        first: { orderBy: readyOrder, limit: 'limit', skipLocked: true, index: READY_INDEX },
        set: (_, instant) => ({ result: this.#leased(instant) }),
        values: { worker, token: newId(), lease_ms: leaseMs, limit: count },
        entry: this.#leaseEntry('action_claimed', true),
      },
      Array.from({ length: count }, newId),
    );
    return this.#readable(claimed)
      .sort(byReadiness)
      .map((action) => ({ ...action, lease: leaseOf(action) }) as Claimed<S>); // it was written just now
  }

  /**
   * Prolongs a claim whose lease has not been taken over. Audit entry: `action_lease_renewed`.
   *
   * @throws NotFoundError; ConflictError when the token is not that of the action's lease.
   */
  async renew(id: string, lease: Lease, options: { readonly leaseMs?: number | undefined } = {}): Promise<Claimed<S>> {
    const { leaseMs: length } = parse(z.strictObject({ leaseMs }), options);
    const { worker, token } = parse(leaseSchema, lease, 'lease');
    const action = await this.#held(parseId(id), token, 'renew', {
      set: (_, instant) => ({ result: this.#leased(instant) }),
      values: { worker, lease_ms: length },
      entry: this.#leaseEntry('action_lease_renewed', false),
    });
    return { ...action, lease: leaseOf(action as Action) } as Claimed<S>; // a row, and its lease
  }

  /**
   * Gives a claimed action back, so that another worker may claim it at once. Audit entry: `action_released`.
   *
   * @throws NotFoundError; ConflictError when the token is not that of the action's lease.
   */
  async release(id: string, lease: Lease): Promise<Typed<Action, S>> {
    const { worker, token } = parse(leaseSchema, lease, 'lease');
    const key = parseId(id);
    return this.#held(key, token, 'release', {
      set: () => ({ result: sql`null` }),
      values: {},
      entry: entry(this.cx, 'action_released', { action_id: key, worker }),
    });
  }

  /**
   * Records that an approved action was executed. Audit entry: `action_executed`.
   *
   * @throws NotFoundError; ConflictError when it is not approved, or was claimed and the lease's token is not given.
   */
  async complete(id: string, options: Outcome<TypedValue<JsonInput, S, 'result'>> = {}): Promise<Typed<Action, S>> {
    return this.#finish(id, 'executed', 'action_executed', options as Outcome); // a schema only narrows it
  }

  /**
   * Records that the execution of an approved action failed. Audit entry: `action_failed`.
   *
   * @throws NotFoundError; ConflictError when it is not approved, or was claimed and the lease's token is not given.
   */
  async fail(id: string, options: Outcome<TypedValue<JsonInput, S, 'result'>> = {}): Promise<Typed<Action, S>> {
    return this.#finish(id, 'failed', 'action_failed', options as Outcome); // a schema only narrows it
  }

  /** Lists approved actions that no worker holds, in the order in which `claim` takes them: 50 by default, 200 at most. */
  async listReady(options: { readonly limit?: number | undefined } = {}): Promise<readonly Typed<Action, S>[]> {
    const { limit } = parse(z.strictObject({ limit: z.number().optional() }), options);
    const statement = this.read(
      'listReady',
      () =>
        sql`select ${this.columns()} from ${this.table}${this.cx.dialect.by(READY_INDEX)} where ${this.#isReady(this.table)} order by ${readyOrder(this.table)} limit ${this.cx.dialect.limit('limit')}`,
    );
    return this.decodeAll(
      await this.cx.driver.exec(statement.query({ now: this.cx.settings.now(), limit: clampLimit(limit) })),
    );
  }

  /** Counts the actions that fit the filter, by status and by type, in one statement. Statuses without one count 0. */
  async stats(filter: ActionFilter = {}): Promise<ActionStats> {
    const conditions = this.conditions(filter);
    const { approvalStatus, actionType } = this.table;
    const statement = this.read(
      `stats ${conditions.shape}`,
      () =>
        sql`select ${approvalStatus}, ${actionType}, count(*) from ${this.table}${conditions.where()} group by ${approvalStatus}, ${actionType} order by ${this.cx.dialect.ordered(actionType)}`,
    );
    const { rows } = await this.cx.driver.exec(statement.query(conditions.values));
    const byStatus = Object.fromEntries(APPROVAL_STATUSES.map((status) => [status, 0])) as Record<
      ApprovalStatus,
      number
    >;
    const byType = new Map<string, number>();
    let total = 0;
    for (const [status, type, count] of rows as [ApprovalStatus, string, unknown][]) {
      byStatus[status] += Number(count);
      byType.set(type, (byType.get(type) ?? 0) + Number(count));
      total += Number(count);
    }
    return { total, byStatus, byType: Object.fromEntries(byType) };
  }

  /**
   * Settles an action whose approvals were decided, within the transaction of that decision.
   *
   * @internal
   */
  async settleDecided(id: string, to: 'approved' | 'denied', reason: string | null): Promise<Typed<Action, S>> {
    return this.#move(id, to, to === 'approved' ? 'action_approved' : 'action_denied', reason);
  }

  /**
   * Locks an action until the transaction ends; it is pending, or this throws. Whoever decides on an action or requests
   * approval of it goes through here first, so that they see each other's work.
   *
   * @internal
   */
  async lockPending(id: string): Promise<Typed<Action, S>> {
    const { dialect, driver, statements } = this.cx;
    const lock = statements.one(
      'actions.lock',
      () => dialect.lockRow(this.table, this.columns(), this.byId(this.table)),
      { reads: false },
    );
    const [action] = this.decodeAll(await driver.exec(lock.query({ id })));
    if (!action) throw new NotFoundError(this.tableName, id);
    if (action.approvalStatus !== 'pending') throw new ConflictError(this.tableName, id, 'it is not pending');
    return action;
  }

  /**
   * With four-eyes on, refuses who proposed a locked action. Only the trail says who that was: all whom it names count.
   *
   * @throws ForbiddenError where the actor did, or the trail does not say who did.
   * @internal
   */
  async refuseProposer({ id, incidentId }: Pick<Action, 'id' | 'incidentId'>): Promise<void> {
    const { actor, dialect, driver, statements } = this.cx;
    const { auditLogs: t } = dialect.tables;
    const statement = statements.one(
      'actions.proposers',
      () =>
        sql`select distinct ${t.actor} from ${t} where ${t.incidentId} = ${dialect.value(t.incidentId, 'incident_id')} and ${t.action} = 'action_proposed' and ${dialect.jsonText(t.details, ['action_id'])} = ${bound('id')}`,
      { reads: false },
    );
    const { rows } = await driver.exec(statement.query({ id, incident_id: incidentId }));
    if (!rows.length)
      throw new ForbiddenError(
        this.tableName,
        id,
        'its trail does not say who proposed it, as four-eyes needs to know',
      );
    if (rows.some(([proposer]) => isSamePerson(String(proposer), actor)))
      throw new ForbiddenError(this.tableName, id, 'who proposed an action cannot approve it');
  }

  /** @internal */
  protected conditions(filter: ActionFilter): Conditions {
    const { incidentId, status, type, since, until } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    const { dialect } = this.cx;
    const conditions = new Conditions(dialect)
      .oneOf(t.incidentId, incidentId)
      .oneOf(t.actionType, type)
      .from(t.createdAt, since)
      .before(t.createdAt, until);
    if (status === undefined || incidentId !== undefined || type !== undefined)
      return conditions.oneOf(t.approvalStatus, status);
    const wanted = [{ column: t.approvalStatus, values: status, all: [] }];
    firstOfEach(dialect, conditions, { table: t, id: t.id, created: t.createdAt, wanted });
    return conditions;
  }

  async #settle(
    id: string,
    to: 'approved' | 'auto_approved' | 'denied',
    auditAction: AuditAction,
    options: object,
  ): Promise<Typed<Action, S>> {
    const key = parseId(id);
    const { reason } = parse(reasonOption, options);
    return this.cx.driver.transaction(async (driver) => {
      const cx: Context = { ...this.cx, driver, inTransaction: true };
      const actions = new Actions<S>(cx, 'actions');
      const approvals = new ApprovalRequests(cx, 'approvals');
      const action = await actions.lockPending(key);
      if (this.cx.settings.fourEyes && to !== 'denied') await actions.refuseProposer(action as Action); // a schema only narrows it
      if (to === 'denied') await approvals.expireOf(key, 'the action was denied');
      else if (!(await approvals.allGranted(key)))
        throw new ConflictError(this.tableName, key, 'approval was requested and not all of it is granted');
      if (to !== 'denied') await approvals.expireOf(key, 'the action was approved');
      return actions.#move(key, to, auditAction, reason ?? null);
    });
  }

  #move(id: string, to: ApprovalStatus, action: AuditAction, reason: string | null): Promise<Typed<Action, S>> {
    const { dialect, actor } = this.cx;
    const t = this.table;
    return this.changeOne('settle', id, {
      set: (_, approvalTimestamp) => ({
        approvalStatus: dialect.value(t.approvalStatus, 'to'),
        approvedBy: dialect.value(t.approvedBy, 'by'),
        approvalTimestamp,
      }),
      values: { to, by: actor },
      always: true,
      guard: (row) => sql`${columnsOf(row).approvalStatus} = 'pending'`,
      unless: 'it is not pending',
      entry: entry(this.cx, action, { action_id: id, from: 'pending', to, ...(reason ? { reason } : {}) }),
    });
  }

  /** The rows that can be read: they are claimed already, and whoever claimed them must get them. */
  #readable({ rows }: Result): Action[] {
    const actions: Action[] = [];
    const failures: DecodeError[] = [];
    for (const row of rows)
      try {
        actions.push(...(this.decodeAll({ rows: [row], count: 1 }) as Action[])); // a schema only narrows a row
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        failures.push(error);
      }
    if (failures[0] && !actions.length) throw failures[0];
    for (const { message } of failures) process.emitWarning(`${message}: the action was claimed, and is not answered`);
    return actions;
  }

  /** Changes the lease of an action that this token holds. */
  async #held(id: string, token: string, name: string, change: Change): Promise<Typed<Action, S>> {
    return this.changeOne(name, id, {
      ...change,
      values: { ...change.values, token: parse(uuid, token, 'lease') },
      always: true,
      guard: (row) => sql`${executable(row)} and ${this.#leaseText(row, 'token')} = ${bound('token')}`,
      unless: 'this lease does not hold it',
    });
  }

  /** The `result` of an action that is held from an instant on: made by the database, whose clock leases are compared with. */
  #leased(instant: SQL): SQL {
    const { dialect } = this.cx;
    const { actor: text } = dialect.tables.auditLogs;
    return dialect.object({
      lease: dialect.object({
        worker: dialect.jsonString(dialect.value(text, 'worker')),
        token: dialect.jsonString(dialect.value(text, 'token')),
        until: dialect.jsonString(dialect.iso(instant, 'lease_ms')),
      }),
    });
  }

  async #finish(
    id: string,
    to: 'executed' | 'failed',
    action: AuditAction,
    options: Outcome,
  ): Promise<Typed<Action, S>> {
    const key = parseId(id);
    const { lease, result } = parse(outcome, options);
    if (lease !== undefined && !uuid.safeParse(lease).success)
      throw new ValidationError([{ path: 'lease', message: 'is not the token of a lease' }]);
    const { dialect } = this.cx;
    const t = this.table;
    const state = dialect.jsonString;
    return this.changeOne(`finish${lease === undefined ? '' : ' held'}`, key, {
      set: (_, executedAt) => ({
        approvalStatus: dialect.value(t.approvalStatus, 'to'),
        result: dialect.value(t.result, 'result'),
        executedAt,
      }),
      values: {
        to,
        token: lease,
        result:
          result === undefined || result === null ? null : columnJson(this.cx, 'actions', 'result', result, 'result'),
      },
      always: true,
      guard: (row) =>
        lease === undefined
          ? sql`${executable(row)} and ${this.#leaseText(row, 'token')} is null`
          : sql`${executable(row)} and ${this.#leaseText(row, 'token')} = ${bound('token')}`,
      unless: 'it is not approved, or another lease holds it',
      entry: entry(this.cx, action, null, {
        made: {
          shape: 'finish',
          values: { action_id: key },
          details: (row) =>
            dialect.object({
              action_id: state(columnsOf(row).id),
              from: state(columnsOf(row).approvalStatus),
              to: state(dialect.value(t.approvalStatus, 'to')),
            }),
        },
      }),
    });
  }

  /** `now` is bound. */
  #isReady(row: Table): SQL {
    const { dialect, settings } = this.cx;
    const until = this.#leaseText(row, 'until');
    return sql`${executable(row)} and (${until} is null or ${until} <= ${dialect.iso(dialect.now(settings.clock))})`;
  }

  #leaseText(row: Table, member: keyof Lease): SQL {
    return this.cx.dialect.jsonText(columnsOf(row).result, ['lease', member]);
  }

  /** Says who holds an action, and until when. */
  #leaseEntry(action: AuditAction, several: boolean) {
    const { dialect } = this.cx;
    const { actor: text } = dialect.tables.auditLogs;
    return entry(this.cx, action, null, {
      several,
      made: {
        shape: 'lease',
        details: (row, instant) =>
          dialect.object({
            action_id: dialect.jsonString(columnsOf(row).id),
            worker: dialect.jsonString(dialect.value(text, 'worker')),
            until: dialect.jsonString(dialect.iso(instant, 'lease_ms')),
          }),
      },
    });
  }
}

/** Holds what is approved, in the order of `readyOrder`. */
const READY_INDEX = 'actions_ready_idx';

const executable = (row: Table) => sql`${columnsOf(row).approvalStatus} in ('approved', 'auto_approved')`;

const readyOrder = (row: Table) => {
  const { priority, createdAt, id } = columnsOf(row);
  return sql`${priority}, ${createdAt}, ${id}`;
};

const byReadiness = (a: Action, b: Action) =>
  a.priority - b.priority || a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1);

/** The columns of actions, also under another name in a statement. */
const columnsOf = (row: Table) => getTableColumns(row) as Record<keyof Action, Column>;
