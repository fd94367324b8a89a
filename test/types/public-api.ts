/**
 * The public types, compiled against the built declarations with `skipLibCheck: false`: they hold no type of Drizzle's, whose
 * own declarations do not compile that way. Run by `npm run types`.
 */
import {
  type Action,
  type AlertSource,
  type ClaimedAction,
  type Incident,
  type IncidentFilter,
  type JsonObject,
  type JsonValue,
  openStore,
  type Page,
  rawJson,
  type Severity,
  type Store,
  type StoreError,
} from '@triage-warden/db';
import { openPostgresStore } from '@triage-warden/db/postgres';
import { openSqliteStore } from '@triage-warden/db/sqlite';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(proof: T): T => proof;

export async function reading(store: Store): Promise<void> {
  is<Equal<Awaited<ReturnType<typeof store.incidents.get>>, Incident>>(true);
  is<Equal<Awaited<ReturnType<typeof store.incidents.find>>, Incident | null>>(true);
  is<Equal<Incident['severity'], 'info' | 'low' | 'medium' | 'high' | 'critical'>>(true);
  is<Equal<Incident['createdAt'], Date>>(true);
  is<Equal<Incident['alertData'], JsonValue>>(true);
  is<Equal<Awaited<ReturnType<typeof store.actions.claim>>, readonly ClaimedAction[]>>(true);
  is<Equal<typeof openStore extends (...all: never) => Promise<infer S> ? S : never, Store>>(true);

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
