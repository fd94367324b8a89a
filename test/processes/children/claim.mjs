// A worker: claims and completes actions until none is ready; prints the ids it had.
import { openStore } from '../../../dist/index.js';

const [url, worker] = process.argv.slice(2);
const store = await openStore(url, { migrations: 'off' });
const { actions } = store.as(worker);
const ids = [];
for (let turn = 0; turn < 1000; turn++) {
  const claimed = await actions.claim({ worker, limit: 5 });
  if (!claimed.length) break;
  for (const { id, lease } of claimed) {
    await actions.complete(id, { lease: lease.token, result: { by: worker } });
    ids.push(id);
  }
}
console.log(JSON.stringify(ids));
await store.close();
