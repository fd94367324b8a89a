import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Workload } from '../measure.ts';
import { cycle, type Setting } from './setting.ts';

const USERS = 100;
const KEYS = 1000;
const SESSIONS = 1000;
const POLICIES = 50;

/** What every request of a dashboard or an API begins with. */
export async function authenticationWorkloads({ ours, raw }: Setting): Promise<readonly Workload[]> {
  const tokens: string[] = [];
  const sessions: string[] = [];
  await ours.transaction(async (tx) => {
    const users: string[] = [];
    for (let i = 0; i < USERS; i++) {
      const { id } = await tx.users.create({
        username: `user-${i}`,
        email: `user-${i}@example.com`,
        passwordHash: `$argon2id$v=19$m=19456,t=2,p=1$${'a'.repeat(22)}$${'b'.repeat(43)}`,
        role: 'analyst',
      });
      users.push(id);
    }
    for (let i = 0; i < KEYS; i++) {
      const userId = users[i % USERS] as string; // there are as many
      tokens.push((await tx.apiKeys.issue({ userId, name: `key ${i}`, scopes: ['read', 'write'] })).token);
    }
    for (let i = 0; i < SESSIONS; i++) {
      const id = randomBytes(16).toString('base64url');
      await tx.sessions.create({ id, data: randomBytes(300), expiryDate: new Date(Date.now() + 86_400_000) });
      sessions.push(id);
    }
    await tx.policies.createMany(
      Array.from({ length: POLICIES }, (_, i) => ({
        name: `policy ${i}`,
        condition: `severity == "low" && asset.tier == ${i}`,
        action: 'require_approval' as const,
        approvalLevel: 'senior' as const,
        priority: (i * 7) % 20,
        enabled: i % 5 > 0,
      })),
    );
    for (const token of tokens) await tx.apiKeys.verify(token); // their first use is recorded
  });
  const token = cycle(tokens);
  const session = cycle(sessions);
  return [
    {
      name: 'verify an API key',
      aim: 1.3,
      operations: 100,
      raw: (index) => raw.verifyApiKey(token(index)),
      ours: (index) => ours.apiKeys.verify(token(index)),
      async verify() {
        for (const one of tokens.slice(0, 50))
          assert.deepEqual(await ours.apiKeys.verify(one), await raw.verifyApiKey(one));
      },
    },
    {
      name: 'load a session',
      aim: 1.3,
      operations: 100,
      raw: (index) => raw.loadSession(session(index)),
      ours: (index) => ours.sessions.load(session(index)),
      async verify() {
        for (const one of sessions.slice(0, 50)) {
          const [a, b] = [await ours.sessions.load(one), await raw.loadSession(one)];
          assert.deepEqual({ ...a, data: Buffer.from(a?.data ?? []) }, { ...b, data: Buffer.from(b?.data ?? []) });
        }
      },
    },
    {
      name: 'enabled policies',
      aim: 1.3,
      operations: 20,
      raw: () => raw.listPolicies(),
      ours: () => ours.policies.listEnabled(),
      async verify() {
        assert.deepEqual(await ours.policies.listEnabled(), await raw.listPolicies());
      },
    },
  ];
}
