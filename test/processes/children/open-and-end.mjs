// Uses a store and closes it: nothing may keep the process from ending by itself.
import { openStore } from '../../../dist/index.js';

const store = await openStore(process.argv[2], { migrations: 'off' });
await store.incidents.create({ source: { siem: 's' }, severity: 'low', alertData: {} });
await store.incidents.count();
await store.close();
console.log('closed');
