import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { limitedText, oneOrMany, tag } from '../model/fields.ts';
import { ticketId as ticketText } from '../model/incident.ts';
import { parse } from '../model/parse.ts';
import { INCIDENT_STATUSES, type IncidentStatus, SEVERITIES, type Severity } from '../model/values.ts';
import { Conditions } from './conditions.ts';
import type { Context } from './context.ts';

/** Which incidents a list holds. Every member narrows it; what is left out, or undefined, does not. */
export interface IncidentFilter {
  readonly status?: IncidentStatus | readonly IncidentStatus[] | undefined;
  readonly severity?: Severity | readonly Severity[] | undefined;
  /** Created at this time or later. */
  readonly since?: Date | undefined;
  /** Created before this time. */
  readonly until?: Date | undefined;
  /** Updated at this time or later. */
  readonly updatedSince?: Date | undefined;
  /** Has this tag, or any of these. */
  readonly tag?: string | readonly string[] | undefined;
  /** Has all of these tags. */
  readonly allTags?: readonly string[] | undefined;
  readonly ticketId?: string | undefined;
  readonly hasTicket?: boolean | undefined;
  /**
   * A text that the alert data, the ticket or a tag holds: without regard to the case of ASCII letters, all other
   * characters exactly; `%`, `_` and `\` mean themselves. It is searched for in the alert's JSON text, so that names and
   * numbers are found too; next to a character that JSON escapes, an escape's own letters may match.
   */
  readonly search?: string | undefined;
}

const incidentFilter = z.strictObject({
  status: oneOrMany(z.enum(INCIDENT_STATUSES)).optional(),
  severity: oneOrMany(z.enum(SEVERITIES)).optional(),
  since: z.date().optional(),
  until: z.date().optional(),
  updatedSince: z.date().optional(),
  tag: oneOrMany(tag).optional(),
  allTags: z.array(tag).optional(),
  ticketId: ticketText.optional(),
  hasTicket: z.boolean().optional(),
  search: limitedText(1000).optional(),
});

/** Checks a filter, and tells the conditions it stands for. */
export function incidentConditions(cx: Context, filter: IncidentFilter): Conditions {
  const { dialect } = cx;
  const t = dialect.tables.incidents;
  const { status, severity, since, until, updatedSince, tag, allTags, ticketId, hasTicket, search } = parse(
    incidentFilter,
    filter,
    'filter',
  );
  const conditions = new Conditions(dialect)
    .oneOf(t.status, status)
    .oneOf(t.severity, severity)
    .from(t.createdAt, since)
    .before(t.createdAt, until)
    .from(t.updatedAt, updatedSince)
    .includes(t.tags, tag, 'any')
    .includes(t.tags, allTags, 'all')
    .oneOf(t.ticketId, ticketId)
    .present(t.ticketId, hasTicket);
  if (search === undefined) return conditions;
  const candidates = dialect.searchIndex.candidates(t, 'search', search);
  if (candidates)
    conditions.whether(
      () => cx.searchable.isReady(cx.driver),
      'indexed',
      () => candidates,
    );
  return conditions.add(
    'search',
    () =>
      sql`(${dialect.jsonContains(t.alertData, 'search')} or ${dialect.textContains(t.ticketId, 'search')} or ${dialect.jsonContains(t.tags, 'search')})`,
    { search },
  );
}
