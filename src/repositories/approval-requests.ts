import { type Column, getTableColumns, type SQL, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import { parseTimestamp } from '../codecs/timestamp.ts';
import type { Approval } from '../model/approval.ts';
import { oneOrMany, uuid } from '../model/fields.ts';
import { parse } from '../model/parse.ts';
import { isSamePerson } from '../model/person.ts';
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

  /** Lets pending requests of one action expire whose time has come, within the transaction that makes new ones. @internal */
  protected async expireOverdueOf(actionId: string): Promise<void> {
    await this.#expire('overdue of action', { action_id: actionId }, OVERDUE, (row) => {
      const t = columnsOf(row);
      return sql`${this.#isOverdue(row, this.#now())} and ${t.actionId} = ${this.cx.dialect.value(this.table.actionId, 'action_id')}`;
    });
  }

  /** The same of all actions, by the clock of the store or at a time, a batch at a time; returns how many there were. @internal */
  protected async expireAllOverdue(
    at: Date | undefined,
    onBatch: (expired: readonly Approval[]) => Promise<void>,
  ): Promise<number> {
    const time = at ? this.cx.dialect.value(this.table.expiresAt, 'time') : this.#now();
    const where = (row: Table) => this.#isOverdue(row, time);
    return this.#expire(`overdue ${at ? 'at' : ''}`, { time: at }, OVERDUE, where, onBatch);
  }

  /** Lets pending requests of some levels of an action expire: new ones are made in their place. @internal */
  protected async replace(actionId: string, levels: readonly ApprovalLevel[]): Promise<void> {
    for (const level of new Set(levels))
      await this.#expire('replaced', { action_id: actionId, level }, REPLACED, (row) => {
        const t = columnsOf(row);
        const { dialect } = this.cx;
        return sql`${t.actionId} = ${dialect.value(this.table.actionId, 'action_id')} and ${t.approvalLevel} = ${dialect.value(this.table.approvalLevel, 'level')}`;
      });
  }

  #now(): SQL {
    return this.cx.dialect.now(this.cx.settings.clock);
  }

  #isOverdue(row: Table, time: SQL): SQL {
    const { expiresAt } = columnsOf(row);
    return sql`(${expiresAt} is not null and ${this.cx.dialect.notAfter(expiresAt, time)})`;
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

  /** The requests of an action, the earlier ones first, as the transaction sees them that has locked it. @internal */
  protected async requestsOf(actionId: string): Promise<readonly Approval[]> {
    const { dialect, driver, statements } = this.cx;
    const t = this.table;
    const all = statements.one(
      'approvals.of action',
      () =>
        sql`select ${this.columns()} from ${t} where ${t.actionId} = ${dialect.value(t.actionId, 'action_id')} order by ${t.requestedAt}, ${t.id}`,
      { reads: false }, // of the transaction's own connection
    );
    return this.decodeAll(await driver.exec(all.query({ action_id: actionId })));
  }

  /**
   * Whether nothing that was asked of an action is missing: at each level, the latest call was granted, and as many grants were given as the largest call asked
   * for. Requests that a later call replaced do not count, nor does one of an earlier call that is still pending: version 0.1.0 left some.
   *
   * @internal
   */
  async allGranted(actionId: string): Promise<boolean> {
    const asked = grouped(await this.requestsOf(actionId), ({ approvalLevel }) => approvalLevel);
    return asked.every((requests) => {
      // those of one call are requested at one time, and later calls later
      const calls = grouped(requests, ({ requestedAt }) => requestedAt.getTime());
      const quorum = Math.max(...calls.map(({ length }) => length)); // also of one that was replaced: asking again lowers nothing
      const latest = calls.findLast((call) => !call.every(isReplaced)) ?? [];
      return (
        this.#grants(requests) >= quorum &&
        latest.some(({ status }) => status === 'approved') &&
        latest.every(({ status }) => status !== 'pending')
      );
    });
  }

  /** How many granted: with four-eyes on, people, of whom one may have granted what was requested again. */
  #grants(requests: readonly Approval[]): number {
    const granted = requests.filter(({ status }) => status === 'approved');
    if (!this.cx.settings.fourEyes) return granted.length;
    const people: string[] = [];
    for (const { decidedBy } of granted)
      if (decidedBy !== null && !people.some((person) => isSamePerson(person, decidedBy))) people.push(decidedBy);
    return people.length;
  }

  /** Who decided other levels of the action, or for the same call. What was requested again may be decided again. @internal */
  protected async decidersBeside({ actionId, approvalLevel, requestedAt }: Approval): Promise<readonly string[]> {
    return (await this.requestsOf(actionId))
      .filter((other) => other.approvalLevel !== approvalLevel || other.requestedAt.getTime() === requestedAt.getTime())
      .flatMap(({ decidedBy }) => decidedBy ?? []);
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

  /** Lets pending requests expire, a batch at a time; returns how many there were. */
  async #expire(
    name: string,
    values: object,
    reason: string,
    where: (row: Table) => SQL,
    onBatch: (expired: readonly Approval[]) => Promise<void> = async () => {},
  ): Promise<number> {
    let expired = 0;
    for (let batch = MAX_LIMIT; batch === MAX_LIMIT; expired += batch) {
      const rows = await this.#expireBatch(name, values, reason, where);
      await onBatch(rows);
      batch = rows.length;
    }
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

const OVERDUE = 'its time has passed';
/** Marks a request in whose place another one stands: unlike one whose time has passed, it need not be made again. */
const REPLACED = 'it was requested again';

const isReplaced = ({ status, decisionReason }: Approval) => status === 'expired' && decisionReason === REPLACED;

/** Lists of equal keys, in the order of the first of each. */
function grouped<T>(items: readonly T[], keyOf: (item: T) => unknown): readonly (readonly T[])[] {
  const groups = new Map<unknown, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return [...groups.values()];
}

/** The columns of approvals, also under another name in a statement. */
export const columnsOf = (row: Table) => getTableColumns(row) as Record<keyof Approval, Column>;
