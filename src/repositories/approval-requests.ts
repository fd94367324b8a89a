import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import { parseTimestamp } from '../codecs/timestamp.ts';
import type { Approval } from '../model/approval.ts';
import { oneOrMany, uuid } from '../model/fields.ts';
import { parse, parseId } from '../model/parse.ts';
import {
  APPROVAL_LEVELS,
  APPROVAL_WORKFLOW_STATUSES,
  type ApprovalLevel,
  type ApprovalWorkflowStatus,
} from '../model/values.ts';
import { entry } from './audit.ts';
import { AuditedRepository } from './audited-repository.ts';
import { Conditions } from './conditions.ts';
import { newId } from './context.ts';
import { type Durations, durationColumns, durationsOf, ranked } from './durations.ts';
import { firstOfEach } from './first-of-each.ts';
import { MAX_LIMIT } from './page.ts';
import { ascending, descending } from './reader.ts';

/** Which approval requests a list holds. */
export interface ApprovalFilter {
  readonly status?: ApprovalWorkflowStatus | readonly ApprovalWorkflowStatus[] | undefined;
  readonly level?: ApprovalLevel | readonly ApprovalLevel[] | undefined;
  readonly incidentId?: string | undefined;
  readonly actionId?: string | undefined;
  /** Expires before this time. */
  readonly expiresBefore?: Date | undefined;
  /** Requested at this time or later. */
  readonly since?: Date | undefined;
  /** Requested before this time. */
  readonly until?: Date | undefined;
}

/** How a level of approval keeps up. */
export interface ApprovalStats {
  readonly pending: number;
  /** When the request was made that waits the longest; null when none waits. */
  readonly oldestPending: Date | null;
  readonly decided: Durations;
}

/** The orders of a list of approval requests, by the time of the request. */
export type ApprovalSort = 'oldest' | 'newest';

const filterSchema = z.strictObject({
  status: oneOrMany(z.enum(APPROVAL_WORKFLOW_STATUSES)).optional(),
  level: oneOrMany(z.enum(APPROVAL_LEVELS)).optional(),
  incidentId: uuid.optional(),
  actionId: uuid.optional(),
  expiresBefore: z.date().optional(),
  since: z.date().optional(),
  until: z.date().optional(),
});

/**
 * What can be done with requests for approval without their actions: reading them, and letting them expire. Actions settle by
 * them; `Approvals` adds what settles actions.
 */
export class ApprovalRequests extends AuditedRepository<'approvals', ApprovalFilter, ApprovalSort> {
  /** @internal */
  protected readonly sorts = {
    oldest: ascending('requestedAt'),
    newest: descending('requestedAt'),
  } as const;

  /**
   * Lets all pending requests expire whose time has come; those of one action, if it is given. Audit entry of each: `approval_expired`. Answers how many there
   * were. Their actions stay pending.
   */
  async expireOverdue(now: Date = this.cx.settings.now(), actionId?: string): Promise<number> {
    const time = parse(z.date(), now, 'now');
    const values = actionId === undefined ? { time } : { time, action_id: parseId(actionId, 'actionId') };
    return this.#expire(actionId ? 'overdue of action' : 'overdue', values, 'its time has passed', (row) => {
      const { expiresAt, actionId: action } = columnsOf(row);
      const overdue = sql`(${expiresAt} is not null and ${this.cx.dialect.notAfter(expiresAt, this.cx.dialect.value(this.table.expiresAt, 'time'))})`;
      if (actionId === undefined) return overdue;
      return sql`${overdue} and ${action} = ${this.cx.dialect.value(this.table.actionId, 'action_id')}`;
    });
  }

  /**
   * What waits for each level, and how long its decisions took, from the request on: of the requests that fit the filter, in one
   * statement. Requests that expired count in neither.
   */
  async stats(filter: ApprovalFilter = {}): Promise<Readonly<Record<ApprovalLevel, ApprovalStats>>> {
    const conditions = this.conditions(filter);
    const { dialect, driver } = this.cx;
    const { approvalLevel, status, requestedAt, decidedAt } = this.table;
    const statement = this.read(`stats ${conditions.shape}`, () => {
      const decided = sql`${status} in ('approved', 'denied')`;
      const rows = sql`select ${approvalLevel} as level, ${status} as status, ${requestedAt} as requested_at, case when ${decided} then ${dialect.millisecondsBetween(requestedAt, decidedAt)} end as ms from ${this.table}${conditions.where()}`;
      const pending = sql`case when status = 'pending' then 1 else 0 end`;
      return sql`select level, sum(${pending}), min(case when status = 'pending' then requested_at end), ${durationColumns} from (select level, status, requested_at, ms, ${ranked(sql`level, ms is null`)} from (${rows}) as requests) as ordered group by level`;
    });
    const { rows } = await driver.exec(statement.query(conditions.values));
    const none: ApprovalStats = { pending: 0, oldestPending: null, decided: durationsOf([]) };
    const stats = Object.fromEntries(APPROVAL_LEVELS.map((level) => [level, none])) as Record<
      ApprovalLevel,
      ApprovalStats
    >;
    const decode = this.cx.decoders.of('approvals', ['approvalLevel']); // others may have written another
    for (const row of rows) decode(row);
    for (const [level, pending, oldest, ...durations] of rows as [
      ApprovalLevel,
      unknown,
      string | null,
      ...unknown[],
    ][])
      stats[level] = {
        pending: Number(pending),
        oldestPending: oldest === null ? null : parseTimestamp(oldest),
        decided: durationsOf(durations),
      };
    return stats;
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
   * later, at the same level, and granted: once for each that expired.
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
    // each grant makes up for one that expired before: the last of these first, for which the fewest can
    const grants = requests.filter(({ status }) => status === 'approved');
    return requests.toReversed().every(({ status, approvalLevel, requestedAt }) => {
      if (status === 'approved') return true;
      const again = grants.findIndex(
        (grant) => grant.approvalLevel === approvalLevel && grant.requestedAt > requestedAt,
      );
      if (status !== 'expired' || again < 0) return false;
      grants.splice(again, 1);
      return true;
    });
  }

  /** Who decided requests for this action so far, within the transaction that decides another one. @internal */
  protected async decidersOf(actionId: string): Promise<readonly string[]> {
    const t = this.table;
    const statement = this.cx.statements.one(
      'approvals.deciders',
      () =>
        sql`select ${t.decidedBy} from ${t} where ${t.actionId} = ${this.cx.dialect.value(t.actionId, 'action_id')} and ${t.decidedBy} is not null`,
      { reads: false },
    );
    const { rows } = await this.cx.driver.exec(statement.query({ action_id: actionId }));
    return rows.map(([decider]) => String(decider));
  }

  /** @internal */
  protected conditions(filter: ApprovalFilter): Conditions {
    const { status, level, incidentId, actionId, expiresBefore, since, until } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    const { dialect } = this.cx;
    const conditions = new Conditions(dialect)
      .oneOf(t.incidentId, incidentId)
      .oneOf(t.actionId, actionId)
      .before(t.expiresAt, expiresBefore)
      .from(t.requestedAt, since)
      .before(t.requestedAt, until);
    if (status === undefined || [incidentId, actionId, expiresBefore].some((other) => other !== undefined))
      return conditions.oneOf(t.status, status).oneOf(t.approvalLevel, level);
    const wanted = [
      { column: t.status, values: status, all: [] },
      ...(level === undefined ? [] : [{ column: t.approvalLevel, values: level, all: [] }]),
    ];
    firstOfEach(dialect, conditions, { table: t, id: t.id, created: t.requestedAt, wanted });
    return conditions;
  }

  /** Lets pending requests expire, a batch at a time; answers how many there were. */
  async #expire(name: string, values: object, reason: string, where: (row: Table) => SQL): Promise<number> {
    let expired = 0;
    for (let batch = MAX_LIMIT; batch === MAX_LIMIT; expired += batch)
      batch = (await this.#expireBatch(name, values, reason, where)).length;
    return expired;
  }

  #expireBatch(name: string, values: object, reason: string, where: (row: Table) => SQL) {
    const { dialect } = this.cx;
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
        set: (_, decidedAt) => ({
          status: dialect.value(t.status, 'to'),
          decidedAt,
          decisionReason: dialect.value(t.decisionReason, 'reason'),
        }),
        values: { ...values, to: 'expired', reason, limit: MAX_LIMIT },
        entry: entry(this.cx, 'approval_expired', null, {
          several: true,
          made: {
            shape: 'expired',
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

/** The columns of approvals, also under another name in a statement. */
export const columnsOf = (row: Table) => getTableColumns(row) as Record<keyof Approval, Column>;
