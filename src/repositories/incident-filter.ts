import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { limitedText, oneOrMany, tag } from '../model/fields.ts';
import { ticketId as ticketText } from '../model/incident.ts';
import { parse } from '../model/parse.ts';
import { INCIDENT_STATUSES, type IncidentStatus, SEVERITIES, type Severity } from '../model/values.ts';
import { type Condition, Conditions } from './conditions.ts';
import type { Context } from './context.ts';
import { firstOfEach } from './first-of-each.ts';

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
   * numbers are found too; next to a character that JSON escapes, an escape's own letters may match. Across members, and in how a
   * number is spelled, the text is the database's own: jsonb puts a space behind `,` and `:`, and writes 1e21 in full.
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
  allTags: z.array(tag).max(500).optional(),
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
  const conditions = new Conditions(dialect);
  // PostgreSQL knows how many rows fit which condition; SQLite would read and sort all that have the status
  const others = dialect.knowsRows ? [tag, allTags, ticketId, updatedSince, hasTicket, search] : [ticketId, search];
  const parts = countOf(status, INCIDENT_STATUSES) * countOf(severity, SEVERITIES);
  if (
    (status !== undefined || severity !== undefined) &&
    others.every((other) => other === undefined) &&
    parts * (1 + countOf(tag, []) + countOf(allTags, [])) <= MOST_PARTS
  )
    firstOfEach(dialect, conditions, {
      table: t,
      id: t.id,
      created: t.createdAt,
      wanted: [
        { column: t.status, values: status, all: INCIDENT_STATUSES },
        { column: t.severity, values: severity, all: SEVERITIES },
      ],
    });
  else conditions.oneOf(t.status, status).oneOf(t.severity, severity);
  conditions
    .from(t.createdAt, since)
    .before(t.createdAt, until)
    .from(t.updatedAt, updatedSince)
    .includes(t.tags, tag, 'any')
    .includes(t.tags, allTags, 'all')
    .oneOf(t.ticketId, ticketId)
    .present(t.ticketId, hasTicket);
  const narrowing = new Set(allTags?.length ? allTags : typeof tag === 'string' ? [tag] : tag);
  // a ticket finds its incidents sooner
  if (dialect.searchIndex.tags && narrowing.size && ticketId === undefined) {
    const isAlone = [status, severity, since, until, updatedSince, hasTicket, search].every((one) => one === undefined);
    conditions.later(() => byTags(cx, [...narrowing], { all: !!allTags?.length, isAlone }));
  }
  if (search === undefined) return conditions;
  const candidates = dialect.searchIndex.candidates(t, 'search', search);
  if (candidates)
    conditions.later(async () =>
      (await cx.searchable.isReady(cx.driver)) ? { shape: 'indexed', sql: () => candidates } : undefined,
    );
  return conditions.add(
    'search',
    () =>
      sql`(${dialect.jsonContains(t.alertData, 'search')} or ${dialect.textContains(t.ticketId, 'search')} or ${dialect.jsonContains(t.tags, 'search')})`,
    { search },
  );
}

/** A statement of more of them, each with all its tags, takes longer to be written than a sort of the rows. */
const MOST_PARTS = 300;

const countOf = (wanted: string | readonly string[] | undefined, all: readonly string[]): number =>
  wanted === undefined ? all.length : typeof wanted === 'string' ? 1 : wanted.length;

/** A list is put together of one for each tag: of more of them, it would take longer than a walk. */
const MOST_TAGS = 20;

/** Finds the incidents by their tags where an index knows these; that they have them is looked at all the same. */
async function byTags(
  cx: Context,
  wanted: readonly string[],
  { all, isAlone }: { readonly all: boolean; readonly isAlone: boolean },
): Promise<Condition | undefined> {
  const { tags } = cx.dialect.searchIndex;
  if (!tags || (!all && wanted.length > MOST_TAGS) || !(await cx.searchable.isReady(cx.driver))) return undefined;
  const counted: { readonly tag: string; readonly count: number }[] = [];
  for (const tag of wanted.slice(0, MOST_TAGS)) counted.push({ tag, count: await tags.count(cx.driver, tag) });
  // of tags that an incident must all have, the rarest
  const rarest = counted.reduce((a, b) => (b.count < a.count ? b : a));
  const used = all ? [rarest] : counted;
  const areFew = used.every(({ count }) => Number.isFinite(count));
  if (!areFew && !isAlone) return undefined; // another index may find a page of them sooner
  const names = used.map((_, i) => `tagged${i}`);
  const { incidents } = cx.dialect.tables;
  return {
    shape: `tagged:${names.length}${areFew ? ' few' : ''}`,
    sql: areFew ? () => sql`${incidents.id} in (${tags.ids(names)})` : undefined,
    first: (list) => sql`${incidents.id} in (${tags.first(names, list)})`,
    values: Object.fromEntries(used.map(({ tag }, i) => [`tagged${i}`, tag])),
  };
}
