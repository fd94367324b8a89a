import { expect } from 'vitest';
import type { AuditLog } from '../../src/index.ts';
import type { Store } from '../../src/store.ts';

/** Each change of the status, and of the ticket, in a trail begins where the one before it ended; and the last is what the incident is now. */
export async function expectChain(store: Store, id: string): Promise<number> {
  const entries: AuditLog[] = [];
  for await (const entry of store.auditLogs.stream({ incidentId: id })) entries.push(entry);
  let status: unknown = 'new';
  let ticket: unknown = null;
  let changes = 0;
  for (const { action, details } of entries) {
    const { from, to } = (details ?? {}) as { readonly from?: unknown; readonly to?: unknown };
    if (action === 'status_changed') {
      expect({ id, changes, from }).toEqual({ id, changes, from: status });
      status = to;
      changes++;
    } else if (action === 'ticket_created' || action === 'ticket_updated') {
      expect({ id, changes, from }).toEqual({ id, changes, from: ticket });
      ticket = to;
      changes++;
    }
  }
  expect(await store.incidents.get(id)).toMatchObject({ status, ticketId: ticket });
  return changes;
}
