import type { NewAction, NewIncident, NewUser } from '../../src/index.ts';
import type { Store } from '../../src/store.ts';

/** An incident as an ingest worker would make it. */
export const newIncident = (overrides: Partial<NewIncident> = {}): NewIncident => ({
  source: { siem: 'splunk' },
  severity: 'high',
  alertData: { rule: 'Beaconing', host: 'ws-7', hits: 12 },
  ...overrides,
});

export const newAction = (incidentId: string, overrides: Partial<NewAction> = {}): NewAction => ({
  incidentId,
  actionType: 'isolate_host',
  target: { host: { hostname: 'ws-7' } },
  reason: 'beaconing',
  ...overrides,
});

/** A well-formed Argon2 hash, of no password. */
export const HASH = '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$R2VoZWltZXJIYXNoV2VydEZ1ZXJUZXN0cw';

let people = 0;

/** A user, other than every one before. */
export const newUser = (overrides: Partial<NewUser> = {}): NewUser => {
  const name = `user-${++people}-${crypto.randomUUID().slice(0, 8)}`;
  return { username: name, email: `${name}@example.com`, passwordHash: HASH, role: 'analyst', ...overrides };
};

/** A proposed action on a new incident. */
export async function proposed(store: Pick<Store, 'incidents' | 'actions'>, overrides: Partial<NewAction> = {}) {
  const incident = await store.incidents.create(newIncident());
  return store.actions.propose(newAction(incident.id, overrides));
}

/** The trail of an incident, oldest first. */
export async function trailOf(store: Pick<Store, 'auditLogs'>, incidentId: string) {
  return (await store.auditLogs.list({ incidentId }, { limit: 200 })).items;
}

export const actionsOf = async (store: Pick<Store, 'auditLogs'>, incidentId: string) =>
  (await trailOf(store, incidentId)).map(({ action }) => action);

/** What a database could mangle. */
export const HARD_JSON: readonly unknown[] = [
  '10.5',
  'true',
  '{"a":1}',
  null,
  '',
  0,
  -1.5,
  1e21,
  5e-324,
  1.7976931348623157e308,
  Number.MAX_SAFE_INTEGER,
  true,
  [],
  {},
  [[], [null], [{}]],
  'nul \0 inside',
  '\0',
  { '\0': '\0', 'a\0b': ['\0'] },
  'a literal \\u0000 and \\\\u0000',
  '\\\0',
  'lone \ud83d high',
  'lone \ude00 low',
  'swapped \ude00\ud83d',
  'pair \u{1f600}',
  { '\ud800': '\udfff' },
  'marker \ue0f0 and \ue0f00000 and \ue0f0e0f0 and \ue0f0raw',
  { '\ue0f0raw': 'not ours', '\ue0f0value': 1 },
  '\u2028\u2029\u007f\u0001\u001f',
  '"quotes" and \\ and / and \b\f\n\r\t',
  'é ß 漢字 \u{10ffff}',
  JSON.parse('{"__proto__": {"a": 1}, "constructor": 1, "toString": null}'),
  { '': 0, ' ': 1, '$.a[0]': 2, 'a"b\\c': 3 },
];
