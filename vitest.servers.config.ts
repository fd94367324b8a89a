/** Tests that need servers of their own, from Debian's packages: postgresql-15 and pgbouncer. Run by `npm run test:servers`. */
import { defineConfig } from 'vitest/config';
import { vitePlugin } from './build/embed-migrations.ts';

export default defineConfig({
  plugins: [vitePlugin(import.meta.dirname)],
  test: { include: ['test/servers/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 120_000, maxWorkers: 1 },
});
