/**
 * The public types, compiled against the built declarations with `skipLibCheck: false`: they hold no type of Drizzle's, whose
 * own declarations do not compile that way. Run by `npm run types`.
 */
import {
  type Action,
  type AlertSource,
  type ApiKey,
  type ClaimedAction,
  type ConfigObject,
  type Connector,
  type Credentials,
  type Incident,
  type IncidentFilter,
  isStoreError,
  type JsonObject,
  type JsonValue,
  type LlmSettings,
  NotFoundError,
  openStore,
  type Page,
  rawJson,
  Secret,
  type Severity,
  type Store,
  type StoreError,
  secret,
  type User,
} from '@triage-warden/db';
import { SessionStore } from '@triage-warden/db/express-session';
import { openPostgresStore } from '@triage-warden/db/postgres';
import { openSqliteStore } from '@triage-warden/db/sqlite';
import { decodeSession } from '@triage-warden/db/tower-sessions';
import * as v from 'valibot';
import { z } from 'zod';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(proof: T): T => proof;

const openWithoutSchemas = () => openStore('sqlite::memory:');

export async function reading(store: Store): Promise<void> {
  is<Equal<Awaited<ReturnType<typeof store.incidents.get>>, Incident>>(true);
  is<Equal<Awaited<ReturnType<typeof store.incidents.find>>, Incident | null>>(true);
  is<Equal<Incident['severity'], 'info' | 'low' | 'medium' | 'high' | 'critical'>>(true);
  is<Equal<Incident['createdAt'], Date>>(true);
  is<Equal<Incident['alertData'], JsonValue>>(true);
  is<Equal<Awaited<ReturnType<typeof store.actions.claim>>, readonly ClaimedAction[]>>(true);
  is<Equal<Awaited<ReturnType<typeof openWithoutSchemas>>, Store>>(true);

  // the loop that everybody writes: its types must not run in a circle
  let after: string | null = null;
  do {
    const page = await store.incidents.list({ severity: 'high' }, { limit: 10, after });
    is<Equal<typeof page, Page<Incident>>>(true);
    after = page.next;
  } while (after);
  for await (const row of store.auditLogs.stream({ action: 'status_changed' })) row.details?.from;
  const { total } = await store.incidents.listPage({}, { page: 2 });
  is<Equal<typeof total, number>>(true);
}

export async function writing(store: Store): Promise<void> {
  interface Finding {
    readonly id: string;
    readonly score?: number;
  }
  const finding: Finding = { id: 'f' };
  const maybe = undefined as Severity | undefined;
  const { id } = await store.incidents.create({ source: { siem: 'splunk' }, severity: 'low', alertData: finding });
  await store.incidents.create({ source: 'user_reported', severity: 'low', alertData: rawJson('{}'), tags: undefined });
  await store.incidents.update(id, { severity: maybe, ticketId: null });
  await store.as('alice').transaction(async (tx) => {
    const action: Action = await tx.actions.propose({
      incidentId: id,
      actionType: 'a_type_of_our_own',
      target: { pod: { name: 'p' } },
      reason: 'r',
    });
    return action.id;
  });
  const filter: IncidentFilter = { status: ['new', 'enriching'], tag: 'phishing', severity: maybe };
  await store.incidents.count(filter);
  const source: AlertSource = { own: { nested: [1, null] } };
  const metadata: JsonObject = { source };

  const { items } = await store.incidents.select(['id', 'severity', 'createdAt']).list({ status: 'new' });
  is<Equal<(typeof items)[number], Pick<Incident, 'id' | 'severity' | 'createdAt'>>>(true);
  for await (const row of store.users.select(['username']).stream())
    is<Equal<typeof row, { readonly username: string }>>(true);
  const summary = await store.incidents.summary.get(id);
  is<Equal<typeof summary.tags, readonly string[]>>(true);
  const about = await store.incidents.count({}, { estimate: true });
  is<Equal<typeof about.estimated, boolean>>(true);
  const { p95Ms } = await store.incidents.timeToResolve();
  is<Equal<typeof p95Ms, number | null>>(true);
  await store.primary.as('alice').incidents.get(id);
  const created = await store.incidents.createMany(some(), { onConflict: 'ignore' });
  is<Equal<typeof created, readonly string[]>>(true);

  // @ts-expect-error the payload is not in it
  summary.alertData;
  // @ts-expect-error not a column
  store.incidents.select(['nope']);
  // @ts-expect-error a status is changed by transition
  await store.incidents.update(id, { status: 'closed' });
  // @ts-expect-error not a severity
  await store.incidents.create({ source, severity: 'urgent', alertData: {} });
  // @ts-expect-error the alert is missing
  await store.incidents.create({ source, severity: 'low', metadata });
  // @ts-expect-error not a filter
  await store.incidents.list({ serverity: 'low' });
  // @ts-expect-error the trail has no way to change an entry
  await store.auditLogs.update(id, {});
  // @ts-expect-error nor to remove one
  await store.auditLogs.delete(id);
  // @ts-expect-error rows are read-only
  (await store.incidents.get(id)).severity = 'low';
}

async function* some() {
  yield { source: 'user_reported', severity: 'low', alertData: {} } as const;
}

export async function opening(): Promise<void> {
  await using store = await openStore('sqlite::memory:', { migrations: 'verify', busyTimeoutMs: 10 });
  await openSqliteStore('sqlite::memory:', { durability: 'process' });
  await openPostgresStore('postgres://h/d', { poolSize: 4, prepare: false, now: () => new Date() });
  // @ts-expect-error an option of the other database
  await openSqliteStore('sqlite::memory:', { poolSize: 4 });
  const code: StoreError['code'] = 'not_found';
  is<Equal<typeof store.dialect, 'sqlite' | 'postgres'>>(true);
  console.log(code);
}

export function narrowing(error: unknown): string {
  if (isStoreError(error, 'unique_violation')) return error.columns.join();
  if (!isStoreError(error)) return '';
  is<Equal<typeof error, StoreError>>(true);
  const name: Exclude<StoreError['name'], `${string}Error`> extends never ? string : never = error.name;
  switch (error.code) {
    case 'validation':
      return error.issues.map(({ path }) => path).join();
    case 'connection':
      return `${error.reason} ${error.outcome}`;
    default:
      return error instanceof NotFoundError ? error.id : name;
  }
}

const MyAlert = z.object({ rule: z.string(), at: z.iso.datetime().transform((text) => new Date(text)) });
const MyConfig = v.object({ url: v.string(), token: v.instance(Secret) });
interface Read {
  rule: string;
  at: Date;
}
interface Given {
  rule: string;
  at: string;
}

export async function typed(): Promise<void> {
  const store = await openStore('sqlite::memory:', {
    json: {
      incidents: {
        alertData: MyAlert,
        metadata: z.object({ shift: z.enum(['day', 'night']), note: z.string().optional() }),
        enrichments: z.array(z.looseObject({ source: z.enum(['vt']) })).default([]),
        analysis: z.object({ verdict: z.literal('suspicious') }),
      },
      actions: { target: z.object({ ip: z.string() }), result: z.object({ ok: z.boolean() }) },
      playbooks: { stages: z.array(z.object({ name: z.string() })) },
      connectors: { config: MyConfig },
    },
  });
  const row = await store.incidents.get('');
  is<Equal<typeof row.alertData, Read>>(true);
  is<Equal<typeof row.metadata.shift, 'day' | 'night'>>(true);
  is<Equal<typeof row.analysis, { verdict: 'suspicious' } | null>>(true);
  is<Equal<typeof row.severity, Severity>>(true);
  const [listed] = (await store.incidents.list()).items;
  is<Equal<typeof listed, typeof row | undefined>>(true);
  for await (const { alertData } of store.incidents.stream()) is<Equal<typeof alertData, Read>>(true);
  const given: Given = { rule: 'r', at: '2026-01-01T00:00:00Z' };
  const base = { source: { siem: 's' }, severity: 'low', metadata: { shift: 'day' } } as const;
  await store.as('alice').transaction(async (tx) => {
    const made = await tx.incidents.create({ ...base, alertData: given });
    is<Equal<typeof made.alertData, Read>>(true);
    await tx.incidents.createMany([{ ...base, alertData: rawJson('{}') }]);
    const changed = await tx.incidents.update(made.id, { alertData: given, metadata: undefined });
    is<Equal<typeof changed.alertData, Read>>(true);
    const moved = await tx.as('bob').incidents.transition(made.id, { from: 'new', to: 'closed' });
    is<Equal<typeof moved.alertData, Read>>(true);
    await tx.incidents.mergeMetadata(made.id, { note: 'n' });
    await tx.incidents.addEnrichment(made.id, { source: 'vt', enrichment_type: 'x', data: 1 });
    await tx.incidents.setAnalysis(made.id, { verdict: 'suspicious' });
    const action = await tx.actions.propose({ incidentId: made.id, actionType: 'x', target: { ip: 'i' }, reason: '' });
    is<Equal<typeof action.target, { ip: string }>>(true);
    const [claimed] = await tx.actions.claim({ worker: 'w' });
    is<Equal<NonNullable<typeof claimed>['target'], { ip: string }>>(true);
    await tx.actions.complete('', { result: { ok: true } });
    // @ts-expect-error not what the schema takes
    await tx.incidents.create({ ...base, alertData: { rule: 'r' } });
    // @ts-expect-error nor here
    await tx.incidents.update(made.id, { alertData: { rule: 5, at: '' } });
    // @ts-expect-error nor in a list
    await tx.incidents.createMany([{ ...base, alertData: 'text' }]);
    // @ts-expect-error nor as an element
    await tx.incidents.addEnrichment(made.id, { source: 'whois', enrichment_type: 'x', data: 1 });
    // @ts-expect-error nor as a member
    await tx.incidents.mergeMetadata(made.id, { shift: 'noon' });
    // @ts-expect-error nor as a result
    await tx.actions.complete('', { result: { ok: 'yes' } });
    // @ts-expect-error nor as a target
    await tx.actions.propose({ incidentId: made.id, actionType: 'x', target: 'none', reason: '' });
  });
  const { config } = await store.connectors.create({
    name: 'c',
    connectorType: 'own',
    config: { url: 'u', token: secret('t') },
  });
  is<Equal<typeof config.url, string>>(true);
  const text: string = config.token.reveal();
  const { stages } = await store.playbooks.get('');
  is<Equal<typeof stages, { name: string }[]>>(true);
  await generic(store, text);
  await generic(await openWithoutSchemas(), text);
}

/** Takes a store whatever schemas it has. */
async function generic<J>(store: Store<J>, name: string): Promise<number> {
  return store.as(name).users.count();
}

export async function configuring(store: Store): Promise<void> {
  is<Equal<Awaited<ReturnType<typeof store.connectors.get>>, Connector>>(true);
  is<Equal<Connector['config'], ConfigObject>>(true);
  is<Equal<Awaited<ReturnType<typeof store.users.find>>, User | null>>(true);
  is<Equal<Awaited<ReturnType<typeof store.users.credentials>>, Credentials | null>>(true);
  is<Equal<Awaited<ReturnType<typeof store.apiKeys.verify>>, { readonly key: ApiKey; readonly owner: User } | null>>(
    true,
  );
  const llm = await store.settings.get('llm');
  is<Equal<typeof llm, LlmSettings>>(true);
  const shift = store.settings.define('shift', z.object({ lead: z.string(), size: z.number().default(3) }));
  const { lead, size } = await store.settings.set(shift, { lead: 'alice' });
  is<Equal<[typeof lead, typeof size], [string, number]>>(true);
  await store.settings.update(shift, { size: undefined });
  await store.settings.update('llm', { api_key: secret('k'), temperature: undefined });
  new SessionStore(store, { prefix: 'p:' });
  const { expiry } = decodeSession(new Uint8Array());
  is<Equal<typeof expiry, Date>>(true);
  const maybe = undefined as string | undefined;
  await store.playbooks.update('', { name: maybe, description: null });

  // @ts-expect-error a secret, not a text
  await store.settings.update('llm', { api_key: 'k' });
  // @ts-expect-error not a member
  await store.settings.update(shift, { leed: 'x' });
  // @ts-expect-error define it first
  await store.settings.get('shift');
  // @ts-expect-error no read answers the hash
  (await store.users.get('')).passwordHash;
  // @ts-expect-error nor that of a key
  (await store.apiKeys.get('')).keyHash;
  // @ts-expect-error the hash has a method of its own
  await store.users.update('', { passwordHash: '' });
}
