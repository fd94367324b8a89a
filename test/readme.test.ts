/** What the README says, held to what is. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as api from '../src/index.ts';
import { openSqliteStore } from '../src/sqlite/open.ts';

const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const readme = readFileSync(root('README.md'), 'utf8');

describe('the README', () => {
  it('has a quick start that runs as it stands', () => {
    const quickStart = readFileSync(root('examples/quick-start.ts'), 'utf8').trimEnd();
    expect(readme).toContain(`\`\`\`ts\n${quickStart}\n\`\`\``);
    const folder = mkdtempSync(join(tmpdir(), 'tw-quick-start-'));
    try {
      const out = execFileSync(
        process.execPath,
        [root('node_modules/tsx/dist/cli.mjs'), '--tsconfig', root('tsconfig.json'), root('examples/quick-start.ts')],
        {
          cwd: folder,
          encoding: 'utf8',
        },
      );
      expect(existsSync(join(folder, 'data/triage.db'))).toBe(true);
      expect(out).toContain(`isolating { host: { hostname: 'ws-7' } }`);
      expect(out).toContain('1 incident found');
      for (const action of ['incident_created', 'approval_approved', 'action_executed']) expect(out).toContain(action);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('lists every error with its code', () => {
    const classes = Object.entries(api).filter(
      ([, value]) => typeof value === 'function' && value.prototype instanceof api.StoreError,
    );
    expect(classes.length).toBeGreaterThan(20);
    for (const [name, value] of classes) {
      const make = value as new (...all: unknown[]) => api.StoreError;
      const { code } = new make([], [], '', []);
      expect(readme).toContain(`| \`${name}\` | \`${code}\` |`);
    }
  });

  it('names every method of the repositories, and none that is not', async () => {
    const store = await openSqliteStore('sqlite::memory:');
    for (const name of ['incidents', 'auditLogs', 'actions', 'approvals'] as const) {
      const row = new RegExp(`^\\| \\w+ \\| \`${name}\` \\| (.*) \\|$`, 'm').exec(readme)?.[1] ?? '';
      const told = [...row.matchAll(/`(\w+)`/g)]
        .map(([, method]) => method as string)
        .filter((method) => method !== 'ifUpdatedAt');
      const methods = new Set<string>();
      for (let at = Object.getPrototypeOf(store[name]); at !== Object.prototype; at = Object.getPrototypeOf(at))
        for (const method of Object.getOwnPropertyNames(at)) methods.add(method);
      const shared = ['get', 'find', 'list', 'listPage', 'count', 'stream'];
      for (const method of [...told, ...shared]) expect(methods).toContain(method);
      const internal = [
        'constructor',
        'conditions',
        'now',
        'read',
        'decodeAll',
        'columns',
        'byId',
        'insertAudited',
        'changeAudited',
        'changeOne',
        'refusal',
        'expireOf',
        'allGranted',
        'settleDecided',
        'lockPending',
      ];
      expect([...methods].filter((method) => !internal.includes(method) && !shared.includes(method)).sort()).toEqual(
        told.sort(),
      );
    }
    await store.close();
  });
});
