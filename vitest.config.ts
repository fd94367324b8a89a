import { defineConfig } from 'vitest/config';
import { vitePlugin } from './build/embed-migrations.ts';

export default defineConfig({
  plugins: [vitePlugin(import.meta.dirname)],
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/servers/**'], // these need programs that npm does not bring: see vitest.servers.config.ts
    globalSetup: ['test/support/postgres-server.ts'],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
