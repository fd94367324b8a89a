/** What is never read from a replica. One that is far behind is played by another database with the schema and no rows. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Store } from '../src/store.ts';
import { SHARED_BACKENDS, type TestDatabase } from './support/databases.ts';
import { newIncident, newUser } from './support/fixtures.ts';

const backend = SHARED_BACKENDS.find(({ dialect }) => dialect === 'postgres');

describe('beside a replica that is far behind', () => {
  let primary: TestDatabase;
  let behind: TestDatabase;
  let store: Store;

  beforeAll(async () => {
    if (!backend) throw new Error('There is a PostgreSQL backend');
    [primary, behind] = await Promise.all([backend.create(), backend.create()]);
    store = await primary.open({ replicas: [behind.url] });
  });
  afterAll(async () => {
    await primary?.drop();
    await behind?.drop();
  });

  it('users, sessions and API keys are what they are, listed and counted too', async () => {
    const user = await store.users.create(newUser());
    const { key, token } = await store.apiKeys.issue({ userId: user.id, name: 'CI' });
    const session = {
      id: 's1',
      data: Buffer.from(JSON.stringify({ userId: user.id })),
      expiryDate: new Date(Date.now() + 1e6),
    };
    await store.sessions.save(session);
    expect(await store.users.find(user.id)).toEqual(user);
    expect((await store.users.list()).items).toEqual([user]);
    expect(await store.users.select(['username']).find(user.id)).toEqual({ username: user.username });
    expect(await store.users.count()).toBe(1);
    expect(await store.apiKeys.find(key.id)).toMatchObject({ id: key.id });
    expect((await store.apiKeys.list({ active: true })).items).toHaveLength(1);
    expect(await store.apiKeys.verify(token)).not.toBeNull();
    expect(await store.sessions.count()).toBe(1);
    expect(await store.sessions.deleteForUser(user.id)).toBe(1);
    expect(await store.sessions.load('s1')).toBeNull();
  });

  it('an empty patch answers the row as it is', async () => {
    const { id } = await store.incidents.create(newIncident());
    expect((await store.incidents.update(id, {})).id).toBe(id);
    const connector = await store.connectors.create({ name: 'c', connectorType: 'own' });
    expect((await store.connectors.update(connector.id, {})).id).toBe(connector.id);
    expect(await store.incidents.find(id)).toBeNull(); // a plain read lags: the test can tell
    expect((await store.primary.incidents.get(id)).id).toBe(id);
  });
});
