import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { ConflictError, DecodeError, ForbiddenError, NotFoundError, ValidationError } from '../errors.ts';
import {
  type Approval,
  type Decision,
  decision as decisionSchema,
  type NewApproval,
  type NewApprovalChain,
  newApproval,
  newApprovalChain,
} from '../model/approval.ts';
import { parse, parseId } from '../model/parse.ts';
import { isSamePerson } from '../model/person.ts';
import type { ApprovalLevel } from '../model/values.ts';
import { Actions } from './actions.ts';
import { ApprovalRequests, columnsOf } from './approval-requests.ts';
import { entry, now } from './audit.ts';
import { type Context, newId } from './context.ts';

/** The requests for approval of actions. Every write leaves its audit row in the same transaction. */
export class Approvals extends ApprovalRequests {
  /**
   * Asks for one approval of a pending action. Pending requests of earlier calls for the same level expire: this one stands in their place. Audit
   * entry: `approval_requested`.
   *
   * @throws NotFoundError when the action does not exist; ConflictError when it is not pending; ValidationError.
   */
  async request(approval: NewApproval): Promise<Approval> {
    const { approvalLevel, ...request } = parse(newApproval, approval);
    const [requested] = await this.#request(request, [approvalLevel]);
    return requested as Approval; // one for each level
  }

  /**
   * Asks for several approvals of a pending action, one for each level, all or none; a level that is given twice takes two. They may be decided in any
   * order: the action is approved with the last of them. Pending requests of earlier calls for these levels expire. Returns them in the order of the
   * levels given.
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
   * ForbiddenError when four-eyes is on and the actor proposed the action, requested this approval, or decided another level of the action; or the trail
   * does not say who proposed it.
   */
  async decide(id: string, decision: Decision): Promise<Approval> {
    const key = parseId(id);
    const { decision: to, reason = null } = parse(decisionSchema, decision);
    return this.#inTransaction((approvals) => approvals.#decide(key, to, reason));
  }

  /**
   * Lets all pending requests expire whose time has come, by the clock of the store unless a time is given. Audit entry of each: `approval_expired`. Their
   * actions stay pending, and can be requested again; but one of which nothing else is missing any more is approved, in the name of who granted last.
   * Returns how many expired.
   */
  async expireOverdue(now?: Date): Promise<number> {
    return this.expireAllOverdue(parse(z.date().optional(), now, 'now'), async (expired) => {
      for (const actionId of new Set(expired.map(({ actionId }) => actionId))) await this.#look(actionId);
    });
  }

  /** Approves an action that is pending though all that was asked of it is granted. */
  async #look(actionId: string): Promise<void> {
    await this.#inTransaction(async (approvals) => {
      const actions = new Actions(approvals.cx, 'actions');
      const isPending = await actions.lockPending(actionId).then(
        () => true,
        (error) => {
          // one that cannot be read stays as it is, and in the way of no other
          if ([ConflictError, NotFoundError, DecodeError].some((known) => error instanceof known)) return false;
          throw error;
        },
      );
      if (!isPending || !(await approvals.allGranted(actionId))) return;
      const decided = (await approvals.requestsOf(actionId)).filter(({ status }) => status === 'approved');
      const [last] = decided.toSorted((a, b) => Number(b.decidedAt) - Number(a.decidedAt));
      if (!last) return; // nothing was asked of it
      const actor = last.decidedBy ?? this.cx.actor; // whose grant it is that approves it
      await new Approvals({ ...approvals.cx, actor }, 'approvals').#settle(actionId, 'approved', null);
    });
  }

  /** Requests that are still pending have nothing to decide any more. */
  async #settle(actionId: string, to: 'approved' | 'denied', reason: string | null): Promise<void> {
    await this.expireOf(actionId, `the action was ${to}`);
    await new Actions(this.cx, 'actions').settleDecided(actionId, to, reason);
  }

  #inTransaction<T>(work: (approvals: Approvals) => Promise<T>): Promise<T> {
    return this.cx.driver.transaction((driver) => {
      const cx: Context = { ...this.cx, driver, inTransaction: true };
      return work(new Approvals(cx, 'approvals'));
    });
  }

  async #request(
    request: Omit<z.output<typeof newApproval>, 'approvalLevel'>,
    levels: readonly ApprovalLevel[],
  ): Promise<readonly Approval[]> {
    const { requestedBy } = request;
    if (this.cx.settings.fourEyes && requestedBy !== undefined && !isSamePerson(requestedBy, this.cx.actor))
      throw new ValidationError([
        { path: 'requestedBy', message: 'is not the actor, who alone can request with four-eyes on' },
      ]);
    return this.#inTransaction(async (approvals) => {
      const { actionId } = request;
      const { incidentId } = await new Actions(approvals.cx, 'actions').lockPending(actionId);
      await approvals.expireOverdueOf(actionId);
      await approvals.replace(actionId, levels);
      const at = await approvals.#instantOfCall(actionId, incidentId);
      const settings = { ...this.cx.settings, clock: 'given', now: () => at } as const;
      const call = new Approvals({ ...approvals.cx, settings }, 'approvals');
      const requested: Approval[] = [];
      for (const level of levels) requested.push(await call.#insert(request, incidentId, level));
      return requested;
    });
  }

  /** One for all requests of a call, and later than those of every call before: that is how they are told apart. */
  async #instantOfCall(actionId: string, incidentId: string): Promise<Date> {
    const { dialect, driver, settings, statements } = this.cx;
    const { clock } = settings;
    const { createdAt, incidentId: incident } = dialect.tables.auditLogs;
    const statement = statements.one(
      `approvals.instant ${clock}`,
      () => sql`select ${dialect.instantAfter(clock, dialect.value(incident, 'incident_id'))}`,
      { reads: false },
    );
    const { rows } = await driver.exec(statement.query({ incident_id: incidentId, now: now(this.cx) }));
    const at = (createdAt.mapFromDriverValue(rows[0]?.[0]) as Date).getTime();
    const latest = (await this.requestsOf(actionId)).at(-1)?.requestedAt.getTime() ?? 0;
    return new Date(Math.max(clock === 'given' ? at : at + 1, latest + 1)); // a millisecond holds the microseconds of the trail so far
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
        decidedBy: null,
        decidedAt: null,
        decisionReason: null,
        expiresAt,
      },
      entry(this.cx, 'approval_requested', { approval_id: id, action_id: actionId, level }),
      ['requestedAt'],
    );
  }

  /** Inside a transaction: the action is locked first, so that two who decide concurrently see each other's decision. */
  async #decide(id: string, to: Decision['decision'], reason: string | null): Promise<Approval> {
    const { dialect, actor, settings } = this.cx;
    const { actionId } = await this.get(id);
    const actions = new Actions(this.cx, 'actions');
    const locked = await actions.lockPending(actionId).catch((error) => {
      throw error instanceof NotFoundError || error instanceof ConflictError
        ? new ConflictError(this.tableName, id, 'its action is not pending')
        : error;
    });
    const approval = await this.get(id); // as it is now that no other can decide it
    if (approval.status !== 'pending') throw new ConflictError(this.tableName, id, 'it is decided already');
    if (settings.fourEyes) {
      await actions.refuseProposer(locked);
      if (isSamePerson(approval.requestedBy, actor))
        throw new ForbiddenError(this.tableName, id, 'who requested an approval cannot decide it');
      if ((await this.decidersBeside(approval)).some((decider) => isSamePerson(decider, actor)))
        throw new ForbiddenError(this.tableName, id, 'who decided one level of an action cannot decide another');
    }
    const t = this.table;
    const decided = await this.changeOne('decide', id, {
      set: (_, decidedAt) => ({
        status: dialect.value(t.status, 'to'),
        decidedBy: dialect.value(t.decidedBy, 'by'),
        decidedAt,
        decisionReason: dialect.value(t.decisionReason, 'reason'),
      }),
      values: { to, by: actor, reason },
      always: true,
      guard: (row) => {
        const { expiresAt } = columnsOf(row);
        return sql`${columnsOf(row).status} = 'pending' and (${expiresAt} is null or not ${dialect.notAfter(expiresAt, dialect.now(settings.clock))})`;
      },
      unless: 'it has expired',
      entry: entry(this.cx, to === 'approved' ? 'approval_approved' : 'approval_denied', {
        approval_id: id,
        action_id: actionId,
        level: approval.approvalLevel,
        from: 'pending',
        to,
        ...(reason ? { reason } : {}),
      }),
    });
    if (to === 'denied' || (await this.allGranted(locked.id))) await this.#settle(locked.id, to, reason);
    return decided;
  }
}
