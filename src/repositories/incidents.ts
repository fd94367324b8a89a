import { type Column, sql, type Table } from 'drizzle-orm';
import { z } from 'zod';
import type { RawJson } from '../codecs/json.ts';
import type { Result } from '../driver/port.ts';
import type { Values } from '../driver/statement.ts';
import { ConflictError, NotFoundError, ValidationError } from '../errors.ts';
import {
  type Incident,
  type IncidentPatch,
  incidentPatch,
  type NewAnalysis,
  type NewEnrichment,
  type NewIncident,
  newAnalysis,
  newEnrichment,
  type ProposedAction,
  proposedAction,
  tags as tagList,
  ticketId as ticketText,
} from '../model/incident.ts';
import type { JsonObject } from '../model/json.ts';
import { parse, parseId } from '../model/parse.ts';
import type { NoSchemas, Typed, TypedElement, TypedInput, TypedMembers, TypedValue } from '../model/schema.ts';
import { INCIDENT_STATUSES, type IncidentStatus, SEVERITIES, type Severity } from '../model/values.ts';
import { entry } from './audit.ts';
import { AuditedRepository, type Change, type OneChange } from './audited-repository.ts';
import { type BulkOptions, insertAll, type Many } from './bulk.ts';
import type { Conditions } from './conditions.ts';
import { columnJson, json, newId } from './context.ts';
import { type Durations, durationColumns, durationsOf, ranked } from './durations.ts';
import { type IncidentFilter, incidentConditions } from './incident-filter.ts';
import { encodeIncident, fullAnalysis, fullEnrichment } from './new-incident.ts';
import { ascending, descending } from './reader.ts';
import type { Selection } from './repository.ts';

/** The orders of a list of incidents: by creation, or by the last change. */
export type IncidentSort = 'newest' | 'oldest' | 'recently_updated' | 'least_recently_updated';

/** How many incidents there are. */
export interface IncidentStats {
  readonly total: number;
  readonly byStatus: Readonly<Record<IncidentStatus, number>>;
  readonly bySeverity: Readonly<Record<Severity, number>>;
}

/** How many incidents were created on a day. */
export interface IncidentDay {
  /** `YYYY-MM-DD`, in UTC. */
  readonly day: string;
  readonly total: number;
  readonly bySeverity: Readonly<Record<Severity, number>>;
}

/** Of one call: SQLite binds 32,766 values, four for each. */
const MOST_MEMBERS = 8_000;

const transitionOptions = z.strictObject({
  from: z.union([z.enum(INCIDENT_STATUSES), z.array(z.enum(INCIDENT_STATUSES)).min(1)]),
  to: z.enum(INCIDENT_STATUSES),
});

const updateOptions = z.strictObject({ ifUpdatedAt: z.date().optional() });

/** The incidents. Every write leaves its audit row in the same transaction. `S` are the caller's schemas of its JSON columns. */
export class Incidents<S = NoSchemas> extends AuditedRepository<
  'incidents',
  IncidentFilter,
  IncidentSort,
  Typed<Incident, S>
> {
  /** @internal */
  protected readonly sorts = {
    newest: descending('createdAt'),
    oldest: ascending('createdAt'),
    recently_updated: descending('updatedAt'),
    least_recently_updated: ascending('updatedAt'),
  } as const;

  /**
   * Creates an incident, with the audit entry `incident_created`.
   *
   * @throws ValidationError before anything is written; UniqueError when the id is taken.
   */
  async create(incident: TypedInput<NewIncident, S>): Promise<Typed<Incident, S>> {
    const values = encodeIncident(this.cx, incident as NewIncident, ''); // a schema only narrows it
    const dated = values.createdAt === undefined ? ['createdAt', 'updatedAt'] : [];
    return this.insertAudited(values, entry(this.cx, 'incident_created', created(values)), dated);
  }

  /**
   * Creates many incidents, each with its audit entry: all of them, or none. They may come in one by one (an AsyncIterable), and are
   * never all held at once. Answers the ids of those that were created, in order: with `onConflict: 'ignore'`, incidents whose
   * id is taken are passed over. They are stored in one transaction, for which other writers wait on SQLite: an iterable must not be slow,
   * and must not use this store itself.
   *
   * Rows are stored some hundred at a time, these in the order of their ids: two imports of the same few do not stand in each other's way. Of larger ones that hold
   * the same ids in different orders, PostgreSQL may fail one with a SerializationError: give both in one order.
   *
   * @throws ValidationError with the place of the first bad member; UniqueError when an id is taken; what the iterable throws.
   */
  async createMany(incidents: Many<TypedInput<NewIncident, S>>, options: BulkOptions = {}): Promise<readonly string[]> {
    return insertAll(
      this.cx,
      {
        table: this.table,
        row: (incident, path) => encodeIncident(this.cx, incident as NewIncident, path), // a schema only narrows it
        trail: (row) => ({
          id: newId(),
          incidentId: row.id,
          action: 'incident_created',
          actor: this.cx.actor,
          details: json(this.cx, created(row), 'details'),
        }),
      },
      incidents,
      options,
    );
  }

  /**
   * Changes what the patch names: undefined keeps, null clears. With `ifUpdatedAt`, only if the incident was not changed
   * since. The status is changed by `transition`. A patch that changes nothing writes nothing. Audit entry: `incident_updated`, with the fields that changed.
   *
   * @throws NotFoundError; ConflictError when the incident was changed after `ifUpdatedAt`; ValidationError.
   */
  async update(
    id: string,
    patch: TypedInput<IncidentPatch, S>,
    options: { readonly ifUpdatedAt?: Date | undefined } = {},
  ): Promise<Typed<Incident, S>> {
    const key = parseId(id);
    const { ifUpdatedAt } = parse(updateOptions, options);
    parse(incidentPatch, patch);
    const change = this.#patch(patch as IncidentPatch); // a schema only narrows it
    if (!change) {
      const incident = await this.current(key);
      if (ifUpdatedAt && (incident as Incident).updatedAt.getTime() !== ifUpdatedAt.getTime())
        throw new ConflictError(this.tableName, key, CHANGED);
      return incident;
    }
    return this.changeOne(`update${ifUpdatedAt ? ' if' : ''} ${Object.keys(change.values).join()}`, key, {
      ...change,
      values: { ...change.values, if_updated_at: ifUpdatedAt },
      ...(ifUpdatedAt
        ? {
            guard: (row: Table) => this.cx.dialect.sameInstant(columnsOf(row).updatedAt, 'if_updated_at'),
            unless: CHANGED,
          }
        : {}),
    });
  }

  /**
   * Moves an incident from one status to another, if it is in that status now: of two that try concurrently, one wins. Where it has the new
   * status already, and may be in it, nothing is written. Audit entry: `status_changed`, with from and to.
   *
   * @throws NotFoundError; ConflictError when it is in another status.
   */
  async transition(
    id: string,
    move: { readonly from: IncidentStatus | readonly IncidentStatus[]; readonly to: IncidentStatus },
  ): Promise<Typed<Incident, S>> {
    const key = parseId(id);
    const { from, to } = parse(transitionOptions, move);
    const { dialect } = this.cx;
    const froms = Array.isArray(from) ? from : [from];
    const only = froms.length === 1 ? froms[0] : undefined;
    const names = froms.map((_, i) => `from${i}`);
    return this.changeOne(`transition ${froms.length}`, key, {
      set: (_, updatedAt) => ({ status: dialect.value(this.table.status, 'to'), updatedAt }),
      values: { to, ...Object.fromEntries(froms.map((status, i) => [`from${i}`, status])) },
      guard: (row) =>
        sql`${columnsOf(row).status} in (${sql.join(
          names.map((name) => dialect.value(this.table.status, name)),
          sql`, `,
        )})`,
      unless: 'it is not in the status that the transition starts from',
      entry: entry(this.cx, 'status_changed', only ? { from: only, to } : null, {
        ...(only
          ? {}
          : {
              made: {
                shape: 'from any',
                details: (row) =>
                  dialect.object({
                    from: dialect.jsonString(columnsOf(row).status),
                    to: dialect.jsonString(dialect.value(this.table.status, 'to')),
                  }),
              },
            }),
      }),
    });
  }

  /** Adds an enrichment at the end of the list: none is lost, however many come at once. Audit entry: `enrichment_added`. */
  async addEnrichment(
    id: string,
    enrichment: TypedElement<NewEnrichment, S, 'enrichments'>,
  ): Promise<Typed<Incident, S>> {
    parse(newEnrichment, enrichment, 'enrichment');
    const full = fullEnrichment(this.cx, enrichment as NewEnrichment); // a schema only narrows it
    const { enrichment_type, source } = full;
    return this.#append(id, 'enrichments', full, 'addEnrichment', {
      set: (row) => ({ enrichments: this.cx.dialect.append(columnsOf(row).enrichments, 'element') }),
      values: { element: json(this.cx, full, 'enrichment') },
      entry: entry(this.cx, 'enrichment_added', { enrichment_type, source }),
    });
  }

  /** Stores the triage analysis, in place of an earlier one. Audit entry: `analysis_completed`, with verdict and scores. */
  async setAnalysis(id: string, analysis: TypedValue<NewAnalysis, S, 'analysis'>): Promise<Typed<Incident, S>> {
    parse(newAnalysis, analysis, 'analysis');
    const full = fullAnalysis(this.cx, analysis as NewAnalysis); // a schema only narrows it
    const { verdict, confidence, risk_score, analyzed_by } = full;
    return this.#mutate(id, 'setAnalysis', {
      set: () => ({ analysis: this.cx.dialect.value(this.table.analysis, 'analysis') }),
      values: { analysis: columnJson(this.cx, 'incidents', 'analysis', full, 'analysis') },
      entry: entry(this.cx, 'analysis_completed', { verdict, confidence, risk_score, analyzed_by }),
    });
  }

  /**
   * Adds an action to the incident's own list of proposals, a part of its analysis. `actions.propose` makes an action that
   * can be approved and executed. Audit entry: `action_proposed`.
   */
  async proposeAction(
    id: string,
    action: TypedElement<ProposedAction, S, 'proposedActions'>,
  ): Promise<Typed<Incident, S>> {
    parse(proposedAction, action, 'action');
    const { action_type } = action as ProposedAction; // a schema only narrows it, here as below
    return this.#append(id, 'proposedActions', action as ProposedAction, 'proposeAction', {
      set: (row) => ({ proposedActions: this.cx.dialect.append(columnsOf(row).proposedActions, 'element') }),
      values: { element: json(this.cx, action, 'action') },
      entry: entry(this.cx, 'action_proposed', { action_type }),
    });
  }

  /** Adds tags that the incident does not have yet, in their order. Audit entry, if there are any: `tags_added`, with those. */
  async addTags(id: string, tags: readonly string[]): Promise<Typed<Incident, S>> {
    return this.#changeTags(id, tags, 'addTags', 'union', 'tags_added');
  }

  /** Removes tags; those that it does not have are passed over. Audit entry, if there are others: `tags_removed`, with those. */
  async removeTags(id: string, tags: readonly string[]): Promise<Typed<Incident, S>> {
    return this.#changeTags(id, tags, 'removeTags', 'except', 'tags_removed');
  }

  /** Sets the external ticket, or clears it with null. Audit entry: `ticket_created` for the first, else `ticket_updated`. */
  async setTicket(id: string, ticketId: string | null): Promise<Typed<Incident, S>> {
    const ticket = parse(ticketText.nullable(), ticketId, 'ticketId');
    const { dialect } = this.cx;
    const value = () => dialect.value(this.table.ticketId, 'ticket');
    return this.#mutate(id, 'setTicket', {
      set: () => ({ ticketId: value() }),
      values: { ticket },
      entry: entry(this.cx, 'ticket_updated', null, {
        actionOf: (row) =>
          sql`case when ${columnsOf(row).ticketId} is null then 'ticket_created' else 'ticket_updated' end`,
        made: {
          shape: 'ticket',
          details: (row) =>
            dialect.object({ from: dialect.jsonString(columnsOf(row).ticketId), to: dialect.jsonString(value()) }),
        },
      }),
    });
  }

  /** Sets members of the metadata and keeps the others; a member's value is replaced whole. Audit entry, if any differ: `metadata_merged`, with their keys. */
  async mergeMetadata(id: string, members: TypedMembers<JsonObject, S, 'metadata'>): Promise<Typed<Incident, S>> {
    parse(z.looseObject({}), members, 'metadata');
    const key = parseId(id);
    const pairs = Object.entries(members)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]): readonly [string, RawJson] => [name, json(this.cx, value, `metadata.${name}`)]);
    if (pairs.length > MOST_MEMBERS)
      throw new ValidationError([{ path: 'metadata', message: `has more than ${MOST_MEMBERS} members` }]);
    const given = Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
    return this.#fitting(
      key,
      'metadata',
      (stored) => ({ ...(stored as object), ...given }),
      (incidents) =>
        incidents.#mutate(key, `mergeMetadata ${pairs.length}`, {
          ...this.#isJson('metadata', 'object'),
          set: (row) => ({ metadata: this.cx.dialect.merge(columnsOf(row).metadata, 'members', pairs.length) }),
          values: { members: pairs },
          entry: entry(this.cx, 'metadata_merged', null, {
            made: {
              shape: 'members',
              values: { names: json(this.cx, Object.keys(given), 'keys') },
              details: (row) =>
                this.cx.dialect.object({
                  keys: this.cx.dialect.changedMembers(columnsOf(row).metadata, 'names', 'members'),
                }),
            },
          }),
        }),
    );
  }

  /**
   * Reads the alert as JSON text with every digit and every key: JavaScript's numbers round integers beyond 2^53. On
   * PostgreSQL, jsonb orders the keys and drops white space.
   *
   * @throws NotFoundError.
   */
  async alertText(id: string): Promise<string> {
    const key = parseId(id);
    const statement = this.read(
      'alertText',
      () => sql`select ${this.table.alertData} from ${this.table} where ${this.byId(this.table)}`,
      { byKey: true },
    );
    const { rows } = await this.cx.driver.exec(statement.query({ id: key }));
    if (!rows[0]) throw new NotFoundError(this.tableName, key);
    return this.cx.dialect.storedJson(rows[0][0]);
  }

  /** The incidents without their payloads, as lists and dashboards show them: about twice as fast to read, the more the larger alerts are. */
  get summary(): Selection<
    'incidents',
    IncidentFilter,
    IncidentSort,
    Pick<Typed<Incident, S>, (typeof SUMMARY)[number] & keyof Typed<Incident, S>>
  > {
    return this.select(SUMMARY as readonly ((typeof SUMMARY)[number] & keyof Typed<Incident, S>)[]); // they are columns of every incident
  }

  /** Counts the incidents that fit the filter, by status and by severity, in one statement. Statuses without one count 0. */
  async stats(filter: IncidentFilter = {}): Promise<IncidentStats> {
    const { status, severity } = this.table;
    const { rows } = await this.withConditions(filter, async (conditions) => {
      const statement = this.read(
        `stats ${conditions.shape}`,
        () =>
          sql`select ${status}, ${severity}, count(*) from ${this.table}${conditions.where()} group by ${status}, ${severity}`,
      );
      return this.cx.driver.exec(statement.query(conditions.values));
    });
    const byStatus = zeros(INCIDENT_STATUSES);
    const bySeverity = zeros(SEVERITIES);
    let total = 0;
    for (const [inStatus, withSeverity, count] of rows as [IncidentStatus, Severity, unknown][]) {
      byStatus[inStatus] += Number(count);
      bySeverity[withSeverity] += Number(count);
      total += Number(count);
    }
    return { total, byStatus, bySeverity };
  }

  /** Counts the incidents that fit the filter, by the day (UTC) on which they were created, in one statement. Days without one are left out. */
  async statsByDay(filter: IncidentFilter = {}): Promise<readonly IncidentDay[]> {
    const { createdAt, severity } = this.table;
    const day = this.cx.dialect.day(createdAt);
    const { rows } = await this.withConditions(filter, async (conditions) => {
      const statement = this.read(
        `by day ${conditions.shape}`,
        () =>
          sql`select ${day}, ${severity}, count(*) from ${this.table}${conditions.where()} group by ${day}, ${severity} order by 1`,
      );
      return this.cx.driver.exec(statement.query(conditions.values));
    });
    const days = new Map<string, { day: string; total: number; bySeverity: Record<Severity, number> }>();
    for (const [on, withSeverity, count] of rows as [string, Severity, unknown][]) {
      const entry = days.get(on) ?? { day: on, total: 0, bySeverity: zeros(SEVERITIES) };
      days.set(on, entry);
      entry.total += Number(count);
      entry.bySeverity[withSeverity] += Number(count);
    }
    return [...days.values()];
  }

  /**
   * How long incidents took from their creation until the trail first says that they were resolved, a false positive, or closed: of
   * those that fit the filter, in one statement. With `resolvedSince`, of those where that happened then or later.
   */
  async timeToResolve(
    filter: IncidentFilter = {},
    options: { readonly resolvedSince?: Date | undefined } = {},
  ): Promise<Durations> {
    const { resolvedSince } = parse(z.strictObject({ resolvedSince: z.date().optional() }), options);
    const { rows } = await this.withConditions(filter, (conditions) => this.#durations(conditions, resolvedSince));
    return durationsOf(rows[0] ?? []);
  }

  async #durations(conditions: Conditions, resolvedSince: Date | undefined): Promise<Result> {
    const { dialect, driver } = this.cx;
    const { auditLogs } = dialect.tables;
    const statement = this.read(`time to resolve ${conditions.shape}${resolvedSince ? ' since' : ''}`, () => {
      const to = dialect.jsonText(auditLogs.details, ['to']);
      const since = resolvedSince
        ? sql` having min(${auditLogs.createdAt}) >= ${dialect.value(auditLogs.createdAt, 'resolved_since')}`
        : sql``;
      const ends = sql`select ${auditLogs.incidentId} as incident_id, min(${auditLogs.createdAt}) as ended from ${auditLogs} where ${auditLogs.action} = 'status_changed' and ${to} in ('resolved', 'false_positive', 'closed') group by ${auditLogs.incidentId}${since}`;
      const { id, createdAt } = this.table;
      const ms = dialect.millisecondsBetween(createdAt, sql`ended`);
      return sql`select ${durationColumns} from (select ms, ${ranked()} from (select ${ms} as ms from ${this.table} inner join (${ends}) as ends on ends.incident_id = ${id}${conditions.where()}) as took) as ordered`;
    });
    return driver.exec(statement.query({ ...conditions.values, resolved_since: resolvedSince }));
  }

  /** @internal */
  protected conditions(filter: IncidentFilter): Conditions {
    return incidentConditions(this.cx, filter);
  }

  /** Changes an incident, whatever status it is in. `updated_at` always grows, so that `ifUpdatedAt` sees each change. */
  async #mutate(id: string, name: string, { set, ...change }: OneChange): Promise<Typed<Incident, S>> {
    return this.changeOne(name, parseId(id), {
      ...change,
      set: (row, updatedAt) => ({ ...set(row, updatedAt), updatedAt }),
    });
  }

  /** What must be true before a JSON column is added to: where other writers left something else, the one database would drop it, the other wrap it. */
  #isJson(column: 'enrichments' | 'proposedActions' | 'tags' | 'metadata', type: 'array' | 'object') {
    return {
      guard: (row: Table) => this.cx.dialect.isJson(columnsOf(row)[column], type),
      unless: `its ${this.table[column].name} are no JSON ${type}`,
    };
  }

  #append(id: string, column: 'enrichments' | 'proposedActions', element: object, name: string, change: Change) {
    const key = parseId(id);
    return this.#fitting(
      key,
      column,
      (stored) => [...(stored as object[]), element],
      (incidents) => incidents.#mutate(key, name, { ...this.#isJson(column, 'array'), ...change, always: true }),
    );
  }

  /**
   * Makes a change that adds to a JSON column. Where the caller has a schema of the whole, what it will be is checked first, with
   * the incident locked so that it is still the same when it is changed.
   */
  async #fitting(
    id: string,
    column: 'enrichments' | 'proposedActions' | 'metadata',
    next: (stored: unknown) => unknown,
    change: (incidents: Incidents<S>) => Promise<Typed<Incident, S>>,
  ): Promise<Typed<Incident, S>> {
    if (!this.cx.decoders.schemaOf('incidents', column)) return change(this);
    return this.cx.driver.transaction(async (driver) => {
      const incidents = new Incidents<S>({ ...this.cx, driver, inTransaction: true }, 'incidents');
      const { decoders, dialect, statements } = this.cx;
      const lock = statements.one(
        `incidents.lock ${column}`,
        () => sql`select ${this.table[column]} from ${this.table} where ${this.byId(this.table)}${dialect.forUpdate()}`,
        { reads: false },
      );
      const { rows } = await driver.exec(lock.query({ id }));
      if (!rows[0]) throw new NotFoundError(this.tableName, id);
      decoders.checkInput('incidents', column, next(JSON.parse(dialect.storedJson(rows[0][0]))), column);
      return change(incidents);
    });
  }

  #changeTags(
    id: string,
    tags: readonly string[],
    name: string,
    how: 'union' | 'except',
    action: 'tags_added' | 'tags_removed',
  ): Promise<Typed<Incident, S>> {
    const distinct = [...new Set(parse(tagList, tags, 'tags'))];
    const { dialect } = this.cx;
    return this.#mutate(id, name, {
      ...this.#isJson('tags', 'array'),
      set: (row) => ({ tags: dialect[how](columnsOf(row).tags, 'tags') }),
      values: { tags: json(this.cx, distinct, 'tags') },
      entry: entry(this.cx, action, null, {
        made: {
          shape: how,
          // those that come or go
          details: (row) =>
            dialect.object({ tags: dialect[how === 'union' ? 'lacking' : 'holding'](columnsOf(row).tags, 'tags') }),
        },
      }),
    });
  }

  #patch(patch: IncidentPatch): Change | undefined {
    const { dialect } = this.cx;
    const { source, severity, alertData, ticketId, tags, metadata } = patch;
    const given = Object.entries({
      source: source && columnJson(this.cx, 'incidents', 'source', source, 'source'),
      severity,
      alertData:
        alertData === undefined ? undefined : columnJson(this.cx, 'incidents', 'alertData', alertData, 'alertData'),
      ticketId,
      tags: tags && json(this.cx, [...new Set(tags)], 'tags'),
      metadata: metadata && columnJson(this.cx, 'incidents', 'metadata', metadata, 'metadata'),
    }).filter(([, value]) => value !== undefined);
    if (!given.length) return undefined;
    const columns = columnsOf(this.table);
    const keys = given.map(([key]) => key as keyof typeof columns);
    const scalars = keys.filter((key) => key === 'severity' || key === 'ticketId');
    const differs = (row: Table, key: keyof typeof columns) =>
      dialect.differs(columnsOf(row)[key], dialect.value(columns[key], key));
    return {
      set: (_, updatedAt) => ({
        ...Object.fromEntries(keys.map((key) => [key, dialect.value(columns[key], key)])),
        updatedAt,
      }),
      values: Object.fromEntries(given),
      entry: entry(this.cx, 'incident_updated', null, {
        made: {
          shape: `fields ${keys.join()}`,
          details: (row) =>
            scalars.reduce(
              (details, key) =>
                dialect.memberWhere(
                  details,
                  columns[key].name,
                  dialect.object({
                    from: dialect.jsonString(columnsOf(row)[key]),
                    to: dialect.jsonString(dialect.value(columns[key], key)),
                  }),
                  differs(row, key),
                ),
              dialect.object({
                fields: dialect.namesWhere(keys.map((key) => [columns[key].name, differs(row, key)])),
              }),
            ),
        },
      }),
    };
  }
}

const CHANGED = 'it was changed after ifUpdatedAt';

/** What a list of incidents shows. */
const SUMMARY = ['id', 'source', 'severity', 'status', 'ticketId', 'tags', 'createdAt', 'updatedAt'] as const;

/** An incident without its payloads. */
export type IncidentSummary = Pick<Incident, (typeof SUMMARY)[number]>;

/** What an incident's first audit entry says. */
const created = ({ severity, status }: Values): JsonObject => ({
  severity: severity as Severity,
  status: status as IncidentStatus,
});

const zeros = <T extends string>(names: readonly T[]) =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<T, number>;

/** The columns of incidents, also under another name in a statement. */
const columnsOf = (row: object) =>
  row as Record<
    | 'source'
    | 'severity'
    | 'status'
    | 'alertData'
    | 'enrichments'
    | 'proposedActions'
    | 'ticketId'
    | 'tags'
    | 'metadata'
    | 'updatedAt',
    Column
  >;
