// Creates incidents without end, and prints each id once it is acknowledged.
import { writeSync } from 'node:fs';
import { openStore } from '../../../dist/index.js';

const store = await openStore(process.argv[2], { migrations: 'off' });
for (;;) {
  const { id } = await store.incidents.create({ source: { siem: 's' }, severity: 'low', alertData: {} });
  writeSync(1, `${id}\n`);
}
