import { expect, it } from 'vitest';
import {
  APPROVAL_STATUSES,
  APPROVAL_WORKFLOW_STATUSES,
  INCIDENT_STATUSES,
  SEVERITIES,
  USER_ROLES,
} from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newIncident } from '../support/fixtures.ts';

contract(
  'closed lists of values',
  (subject) => {
    const lists = {
      severity: SEVERITIES,
      incident_status: INCIDENT_STATUSES,
      approval_status: APPROVAL_STATUSES,
      approval_workflow_status: APPROVAL_WORKFLOW_STATUSES,
      user_role: USER_ROLES,
    };
    const checks = {
      severity: 'incidents_severity_check',
      incident_status: 'incidents_status_check',
      approval_status: 'actions_approval_status_check',
      approval_workflow_status: 'approvals_status_check',
      user_role: 'users_role_check',
    };

    it.each(Object.keys(lists) as (keyof typeof lists)[])(
      '%s: the catalog holds what TypeScript says, in order',
      async (name) => {
        // R-C5
        const { database, backend } = subject();
        let stored: string[];
        if (backend.dialect === 'postgres') {
          const rows = await database.raw(`select unnest(enum_range(null::${name}))::text as value`);
          stored = rows.map(({ value }) => String(value));
        } else {
          const rows = await database.raw(`select sql from sqlite_master where sql like '%"${checks[name]}"%'`);
          const check =
            new RegExp(`"${checks[name]}" CHECK\\(.*? in \\((.*?)\\)\\)`).exec(String(rows[0]?.sql))?.[1] ?? '';
          stored = check.split(', ').map((value) => value.slice(1, -1));
        }
        expect(stored).toEqual(lists[name]);
      },
    );

    it('round-trip every member', async () => {
      // R-C5
      const { store } = subject();
      for (const severity of SEVERITIES)
        for (const status of INCIDENT_STATUSES) {
          const { id } = await store.incidents.create(newIncident({ severity, status }));
          expect(await store.incidents.get(id)).toMatchObject({ severity, status });
        }
    });
  },
  SHARED_BACKENDS,
);
