/** Changes incidents: `writers` at the same moment, `changes` each. */
import { INCIDENT_STATUSES, openStore } from '../../../dist/index.js';

const [url, seed, writers, changes, ...ids] = process.argv.slice(2);
const store = await openStore(url, {
  migrations: 'off',
  acquireTimeoutMs: 60_000,
  ...(url.startsWith('sqlite') ? { busyTimeoutMs: 60_000 } : {}),
});
await Promise.all(
  Array.from({ length: Number(writers) }, async (_, writer) => {
    for (let i = 0; i < Number(changes); i++) {
      const n = (Number(seed) * 31 + writer) * 1009 + i;
      const id = ids[n % ids.length];
      if (n % 2) await store.incidents.transition(id, { from: INCIDENT_STATUSES, to: INCIDENT_STATUSES[n % 7] });
      else await store.incidents.setTicket(id, `T-${n}`);
    }
  }),
);
console.log(JSON.stringify({ now: Date.now() }));
await store.close();
