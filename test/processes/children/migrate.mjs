// Opens a store, which migrates it; prints what it applied.
import { openStore } from '../../../dist/index.js';

const store = await openStore(process.argv[2], { migrations: 'off' });
console.log(JSON.stringify(await store.migrate()));
await store.close();
