import { getTableColumns, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import type { Values } from '../driver/statement.ts';
import { TrailError } from '../errors.ts';
import { type AuditAction, type AuditLog, type NewAuditLog, newAuditLog } from '../model/audit-log.ts';
import { actor as actorText, limitedText, oneOrMany, uuid } from '../model/fields.ts';
import { parse, parseEach } from '../model/parse.ts';
import { now } from './audit.ts';
import { insertAll } from './bulk.ts';
import { Conditions } from './conditions.ts';
import { json, newId } from './context.ts';
import { PlainRepository } from './plain-repository.ts';
import { ascending, descending } from './reader.ts';

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
export class AuditLogs extends PlainRepository<'auditLogs', AuditLogFilter, AuditLogSort> {
  /** @internal */
  protected readonly sorts = {
    oldest: ascending('createdAt'),
    newest: descending('createdAt'),
  } as const;

  /**
   * Adds an entry of a service's own, such as `comment_added`.
   *
   * @throws ForeignKeyError when the incident does not exist; ValidationError.
   */
  async append(log: NewAuditLog): Promise<AuditLog> {
    const values = this.#encode(log, '');
    const { dialect, driver, settings } = this.cx;
    const { clock } = settings;
    const columns = Object.entries(getTableColumns<Table>(this.table));
    const insert = this.write(`append ${clock}`, () => {
      const written = columns.map(([key, column]) =>
        key === 'createdAt'
          ? dialect.instantAfter(clock, dialect.value(this.table.incidentId, 'incidentId'))
          : dialect.value(column, key),
      );
      const names = columns.map(([, { name }]) => sql.identifier(name));
      return sql`insert into ${this.table} (${sql.join(names, sql`, `)}) values (${sql.join(written, sql`, `)}) returning created_at`;
    });
    const { rows } = await driver.exec(insert.query({ ...values, now: now(this.cx) }));
    return this.#written(values, rows[0]?.[0]);
  }

  /** Adds entries: all of them, or none. Answers them in the order given. */
  async appendMany(logs: Iterable<NewAuditLog>): Promise<readonly AuditLog[]> {
    const rows = parseEach(logs, (log, path) => this.#encode(log, path));
    let at: unknown;
    const began = (instant: unknown) => {
      at = instant;
    };
    await insertAll(this.cx, { table: this.table, row: (values: Values) => values, began }, rows);
    return rows.map((values) => this.#written(values, at));
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
    };
  }

  /** @throws TrailError where the database has dropped it. */
  #written(values: Values, at: unknown): AuditLog {
    if (at === undefined) throw new TrailError();
    return this.fresh({ ...values, createdAt: this.table.createdAt.mapFromDriverValue(at) });
  }
}
