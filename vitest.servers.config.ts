/** Tests that need programs of Debian's packages: postgresql-15, pgbouncer, openssl and faketime. Run by `npm run test:servers`. */
import { defineConfig } from 'vitest/config';
import { vitePlugin } from './build/embed-migrations.ts';

export default defineConfig({
  plugins: [vitePlugin(import.meta.dirname)],
  test: {
    include: ['test/servers/**/*.test.ts'],
    globalSetup: ['test/support/postgres-server.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
  },
});
