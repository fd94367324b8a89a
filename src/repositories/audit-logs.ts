import { type Column, getTableColumns, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Values } from '../driver/statement.ts';
import { type AuditAction, type AuditLog, type NewAuditLog, newAuditLog } from '../model/audit-log.ts';
import { actor as actorText, limitedText, oneOrMany, uuid } from '../model/fields.ts';
import { parse } from '../model/parse.ts';
import { insertAll } from './bulk.ts';
import { Conditions } from './conditions.ts';
import { json, newId } from './context.ts';
import { Repository } from './repository.ts';

/** Which audit entries a list holds. */
export interface AuditLogFilter {
  readonly incidentId?: string | undefined;
  readonly action?: AuditAction | readonly AuditAction[] | undefined;
  readonly actor?: string | readonly string[] | undefined;
  /** Written at this time or later. */
  readonly since?: Date | undefined;
  /** Written before this time. */
  readonly until?: Date | undefined;
}

const filterSchema = z.strictObject({
  incidentId: uuid.optional(),
  action: oneOrMany(limitedText(100)).optional(),
  actor: oneOrMany(actorText).optional(),
  since: z.date().optional(),
  until: z.date().optional(),
});

/** The orders of the trail: as it happened, or the latest first. */
export type AuditLogSort = 'oldest' | 'newest';

/** The audit trail: entries are added and read; the database refuses to change or remove any. */
export class AuditLogs extends Repository<'auditLogs', AuditLogFilter, AuditLogSort> {
  /** @internal */
  protected readonly sorts = {
    oldest: { column: 'createdAt', descending: false },
    newest: { column: 'createdAt', descending: true },
  } as const;

  /**
   * Adds an entry of a service's own, such as `comment_added`.
   *
   * @throws ForeignKeyError when the incident does not exist; ValidationError.
   */
  async append(log: NewAuditLog): Promise<AuditLog> {
    const values = this.#encode(log, '');
    const { dialect, driver, statements } = this.cx;
    const columns = Object.entries(getTableColumns(this.table));
    const insert = statements.one(
      'audit_logs.append',
      () =>
        sql`insert into ${this.table} (${sql.join(
          columns.map(([, { name }]) => sql.identifier(name)),
          sql`, `,
        )}) values (${sql.join(
          columns.map(([key, column]) => dialect.value(column as Column, key)),
          sql`, `,
        )})`,
      { reads: false },
    );
    await driver.exec(insert.query(values));
    return decodeNew(values);
  }

  /** Adds entries: all of them, or none. Answers them in the order given. */
  async appendMany(logs: Iterable<NewAuditLog>): Promise<readonly AuditLog[]> {
    const rows = Array.from(logs, (log, i) => this.#encode(log, `[${i}]`));
    await insertAll(this.cx, [{ table: this.table, rows }]);
    return rows.map(decodeNew);
  }

  /** @internal */
  protected conditions(filter: AuditLogFilter): Conditions {
    const { incidentId, action, actor, since, until } = parse(filterSchema, filter, 'filter');
    const t = this.table;
    return new Conditions(this.cx.dialect)
      .oneOf(t.incidentId, incidentId)
      .oneOf(t.action, action)
      .oneOf(t.actor, actor)
      .from(t.createdAt, since)
      .before(t.createdAt, until);
  }

  #encode(input: NewAuditLog, path: string): Values {
    const log = parse(newAuditLog, input, path);
    return {
      id: log.id ?? newId(),
      incidentId: log.incidentId,
      action: log.action,
      actor: this.cx.actor,
      details: input.details ? json(this.cx, input.details, path ? `${path}.details` : 'details') : null,
      createdAt: this.cx.settings.now(),
    };
  }
}

const decodeNew = ({ details, ...values }: Values): AuditLog =>
  ({ ...values, details: details === null ? null : JSON.parse((details as { text: string }).text) }) as AuditLog; // all its columns, as encoded above
