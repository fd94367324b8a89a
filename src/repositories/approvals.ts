import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import { ConflictError, ForbiddenError, NotFoundError } from '../errors.ts';
import {
  type Approval,
  type Decision,
  decision as decisionSchema,
  type NewApproval,
  type NewApprovalChain,
  newApproval,
  newApprovalChain,
} from '../model/approval.ts';
import { uuid } from '../model/fields.ts';
import { parse, parseId } from '../model/parse.ts';
import {
  APPROVAL_LEVELS,
  APPROVAL_WORKFLOW_STATUSES,
  type ApprovalLevel,
  type ApprovalWorkflowStatus,
} from '../model/values.ts';
import { Actions } from './actions.ts';
import { entry } from './audit.ts';
import { Conditions } from './conditions.ts';
import { type Context, newId } from './context.ts';
import { MAX_LIMIT } from './page.ts';
import { Repository } from './repository.ts';

/** Which approval requests a list holds. */
export interface ApprovalFilter {
  readonly status?: ApprovalWorkflowStatus | readonly ApprovalWorkflowStatus[] | undefined;
  readonly level?: ApprovalLevel | readonly ApprovalLevel[] | undefined;
  readonly incidentId?: string | undefined;
  readonly actionId?: string | undefined;
  /** Expires before this time. */
  readonly expiresBefore?: Date | undefined;
}

/** The orders of a list of approval requests, by the time of the request. */
export type ApprovalSort = 'oldest' | 'newest';

const oneOrMany = <T extends z.ZodType>(schema: T) => z.union([schema, z.array(schema)]).optional();
const filterSchema = z.strictObject({
  status: oneOrMany(z.enum(APPROVAL_WORKFLOW_STATUSES)),
  level: oneOrMany(z.enum(APPROVAL_LEVELS)),
  incidentId: uuid.optional(),
  actionId: uuid.optional(),
  expiresBefore: z.date().optional(),
});

/** The requests for approval of actions. Every write leaves its audit row in the same transaction. */
export class Approvals extends Repository<'approvals', ApprovalFilter, ApprovalSort> {
  /** @internal */
  protected readonly sorts = {
    oldest: { column: 'requestedAt', descending: false },
    newest: { column: 'requestedAt', descending: true },
  } as const;

  /**
   * Asks for one approval of a pending action. Audit entry: `approval_requested`.
   *
   * @throws NotFoundError when the action does not exist; ConflictError when it is not pending; ValidationError.
   */
  async request(approval: NewApproval): Promise<Approval> {
    const { approvalLevel, ...request } = parse(newApproval, approval);
    const [requested] = await this.#request(request, [approvalLevel]);
    return requested as Approval; // one for each level
  }

  /**
   * Asks for several approvals of a pending action, one for each level, all or none. They may be decided in any order; the
   * action is approved with the last of them. Answers them in the order of the levels given.
   *
   * @throws NotFoundError when the action does not exist; ConflictError when it is not pending; ValidationError.
   */
  async requestChain(chain: NewApprovalChain): Promise<readonly Approval[]> {
    const { levels, ...request } = parse(newApprovalChain, chain);
    return this.#request(request, levels);
  }

  /**
   * Approves or denies a pending request, in the name of the store's actor; and with it, in the same transaction, the action:
   * the last approval approves it, a denial denies it and lets the other requests expire. A request that expired must be
   * made again, and granted, before the action is approved. Audit entries: `approval_approved` or `approval_denied`, and
   * those of the action.
   *
   * @throws NotFoundError; ConflictError when the request is decided already, has expired, or the action is not pending;
   * ForbiddenError when four-eyes is on and the actor is who requested it.
   */
  async decide(id: string, decision: Decision): Promise<Approval> {
    const key = parseId(id);
    const { decision: to, reason = null } = parse(decisionSchema, decision);
    return this.cx.driver.transaction((driver) => {
      const cx: Context = { ...this.cx, driver };
      return new Approvals(cx, 'approvals').#decide(key, to, reason);
    });
  }

  /**
   * Lets all pending requests expire whose time has come. Audit entry of each: `approval_expired`. Answers how many there
   * were. Their actions stay pending.
   */
  async expireOverdue(now: Date = this.cx.settings.now()): Promise<number> {
    return this.#expire('overdue', { time: parse(z.date(), now, 'now') }, 'its time has passed', (row) => {
      const { expiresAt } = columnsOf(row);
      return sql`${expiresAt} <= ${this.cx.dialect.value(this.table.expiresAt, 'time')}`;
    });
  }

  /** Lets the undecided requests of an action expire, within the transaction that settles it. @internal */
  async expireOf(actionId: string, reason: string): Promise<void> {
    await this.#expire('of action', { action_id: actionId }, reason, (row) => {
      const { actionId } = columnsOf(row);
      return sql`${actionId} = ${this.cx.dialect.value(this.table.actionId, 'action_id')}`;
    });
  }

  /**
   * Whether nothing that was asked of an action is missing: no request is pending, and one that expired was made again
   * later, at the same level, and granted.
   *
   * @internal
   */
  async allGranted(actionId: string): Promise<boolean> {
    const { dialect, driver, statements } = this.cx;
    const t = this.table;
    const all = statements.one(
      'approvals.of action',
      () =>
        sql`select ${this.columns()} from ${t} where ${t.actionId} = ${dialect.value(t.actionId, 'action_id')} order by ${t.requestedAt}, ${t.id}`,
      { reads: false }, // of the transaction's own connection
    );
    const requests = this.decodeAll(await driver.exec(all.query({ action_id: actionId })));
    return requests.every(
      ({ status, approvalLevel }, i) =>
        status === 'approved' ||
        (status === 'expired' &&
          requests.slice(i + 1).some((later) => later.status === 'approved' && later.approvalLevel === approvalLevel && later.requestedAt > (requests[i] as Approval).requestedAt)),
    );
  }

  /** @internal */
  protected conditions(filter: ApprovalFilter): Conditions {
    const { status, level, incidentId, actionId, expiresBefore } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    return new Conditions(this.cx.dialect)
      .oneOf(t.status, status)
      .oneOf(t.approvalLevel, level)
      .oneOf(t.incidentId, incidentId)
      .oneOf(t.actionId, actionId)
      .before(t.expiresAt, expiresBefore);
  }

  #request(
    request: Omit<z.output<typeof newApproval>, 'approvalLevel'>,
    levels: readonly ApprovalLevel[],
  ): Promise<readonly Approval[]> {
    return this.cx.driver.transaction(async (driver) => {
      const cx: Context = { ...this.cx, driver };
      const { incidentId } = await new Actions(cx, 'actions').lockPending(request.actionId);
      const approvals = new Approvals(cx, 'approvals');
      const requested: Approval[] = [];
      for (const level of levels) requested.push(await approvals.#insert(request, incidentId, level));
      return requested;
    });
  }

  #insert(request: Omit<z.output<typeof newApproval>, 'approvalLevel'>, incidentId: string, level: ApprovalLevel) {
    const { actionId, requestedBy = this.cx.actor, expiresAt = null } = request;
    const id = request.id ?? newId();
    return this.insertAudited(
      {
        id,
        actionId,
        incidentId,
        approvalLevel: level,
        status: 'pending',
        requestedBy,
        requestedAt: this.cx.settings.now(),
        decidedBy: null,
        decidedAt: null,
        decisionReason: null,
        expiresAt,
      },
      entry(this.cx, 'approval_requested', { approval_id: id, action_id: actionId, level }),
    );
  }

  /** Inside a transaction: the action is locked first, so that two who decide at once see each other's decision. */
  async #decide(id: string, to: Decision['decision'], reason: string | null): Promise<Approval> {
    const { dialect, actor, settings } = this.cx;
    const { actionId } = await this.get(id);
    const actions = new Actions(this.cx, 'actions');
    const locked = await actions.lockPending(actionId).catch((error) => {
      throw error instanceof NotFoundError || error instanceof ConflictError
        ? new ConflictError(this.tableName, id, 'its action is not pending')
        : error;
    });
    const approval = await this.get(id); // as it is now that nobody else can decide it
    const now = settings.now();
    if (approval.status !== 'pending') throw new ConflictError(this.tableName, id, 'it is decided already');
    if (approval.expiresAt && approval.expiresAt <= now) throw new ConflictError(this.tableName, id, 'it has expired');
    if (settings.fourEyes && samePerson(approval.requestedBy, actor))
      throw new ForbiddenError(this.tableName, id, 'who requested an approval cannot decide it');
    const t = this.table;
    const decided = await this.changeOne('decide', id, {
      set: {
        status: dialect.value(t.status, 'to'),
        decidedBy: dialect.value(t.decidedBy, 'by'),
        decidedAt: dialect.value(t.decidedAt, 'at'),
        decisionReason: dialect.value(t.decisionReason, 'reason'),
      },
      values: { to, by: actor, at: now, reason },
      where: (row) => sql`${columnsOf(row).status} = 'pending'`,
      unless: 'it is decided already',
      entry: entry(this.cx, to === 'approved' ? 'approval_approved' : 'approval_denied', {
        approval_id: id,
        action_id: actionId,
        level: approval.approvalLevel,
        from: 'pending',
        to,
        ...(reason ? { reason } : {}),
      }),
    });
    if (to === 'denied') await this.expireOf(locked.id, 'the action was denied');
    if (to === 'denied' || (await this.allGranted(locked.id))) await actions.settleDecided(locked.id, to, reason);
    return decided;
  }

  /** Lets pending requests expire, a batch at a time; answers how many there were. */
  async #expire(name: string, values: object, reason: string, where: (row: Table) => SQL): Promise<number> {
    let expired = 0;
    for (let batch = MAX_LIMIT; batch === MAX_LIMIT; expired += batch)
      batch = (await this.#expireBatch(name, values, reason, where)).length;
    return expired;
  }

  #expireBatch(name: string, values: object, reason: string, where: (row: Table) => SQL) {
    const { dialect, settings } = this.cx;
    const t = this.table;
    const audit = dialect.tables.auditLogs;
    return this.changeAudited(
      `expire ${name}`,
      {
        where: (row) => sql`${columnsOf(row).status} = 'pending' and ${where(row)}`,
        first: {
          orderBy: (row) => sql`${columnsOf(row).requestedAt}, ${columnsOf(row).id}`,
          limit: 'limit',
          skipLocked: false,
        },
        set: {
          status: dialect.value(t.status, 'to'),
          decidedAt: dialect.value(t.decidedAt, 'at'),
          decisionReason: dialect.value(t.decisionReason, 'reason'),
        },
        values: { ...values, to: 'expired', at: settings.now(), reason, limit: MAX_LIMIT },
        entry: entry(this.cx, 'approval_expired', null, {
          several: true,
          made: {
            shape: 'expired',
            old: false,
            details: (row) =>
              dialect.object({
                approval_id: dialect.jsonString(columnsOf(row).id),
                action_id: dialect.jsonString(columnsOf(row).actionId),
                reason: dialect.jsonString(dialect.value(audit.actor, 'reason')),
              }),
          },
        }),
      },
      Array.from({ length: MAX_LIMIT }, newId),
    );
  }
}

/** User names are unique without regard to case, so `Alice` is `alice`. */
const samePerson = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

/** The columns of approvals, also under another name in a statement. */
const columnsOf = (row: Table) => getTableColumns(row) as Record<keyof Approval, Column>;
