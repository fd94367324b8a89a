import { openStore } from '@triage-warden/db';

await using store = await openStore('sqlite:data/triage.db'); // or postgres://user:password@host/database
const alice = store.as('alice'); // who the audit trail names; 'system' by default

const incident = await alice.incidents.create({
  source: { siem: 'splunk' },
  severity: 'high',
  alertData: { rule: 'Beaconing to a rare domain', host: 'ws-7', domain: 'evil.example' },
  tags: ['c2'],
});
await alice.incidents.transition(incident.id, { from: 'new', to: 'enriching' });
await alice.incidents.addEnrichment(incident.id, {
  enrichment_type: 'threat_intel',
  source: 'virus_total',
  data: { malicious: 61, total: 92 },
});

// both, or none of it
const request = await alice.transaction(async (tx) => {
  const action = await tx.actions.propose({
    incidentId: incident.id,
    actionType: 'isolate_host',
    target: { host: { hostname: 'ws-7' } },
    reason: 'Beaconing to evil.example',
  });
  return tx.approvals.request({ actionId: action.id, approvalLevel: 'senior' });
});
await store.as('bob').approvals.decide(request.id, { decision: 'approved', reason: 'Confirmed with the owner' });

// one worker gets it; with a lease, so that another may take over if this one dies
const executor = store.as('executor-1');
for (const { id, target, lease } of await executor.actions.claim({ worker: 'executor-1', limit: 10 })) {
  console.log('isolating', target);
  await executor.actions.complete(id, { lease: lease.token, result: { isolated: true } });
}

const { items } = await store.incidents.list({ severity: ['high', 'critical'], search: 'evil.example' });
console.log(items.length, 'incident found');
for await (const { actor, action, details } of store.auditLogs.stream({ incidentId: incident.id }))
  console.log(actor.padEnd(12), action.padEnd(20), JSON.stringify(details));
