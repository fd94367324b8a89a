/** Takes what is ready, and lets expire what is overdue: by its own clock, if that counted. */
import { openStore } from '../../../dist/index.js';

const store = await openStore(process.argv[2], { migrations: 'off' });
const ready = (await store.actions.listReady()).map(({ id }) => id);
const claimed = (await store.actions.claim({ worker: 'ahead', limit: 10 })).map(({ id }) => id);
const expired = await store.approvals.expireOverdue();
console.log(JSON.stringify({ now: Date.now(), ready, claimed, expired }));
await store.close();
