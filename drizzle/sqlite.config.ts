import { defineConfig } from 'drizzle-kit';

const url = process.env.DATABASE_URL?.replace(/^sqlite:(\/\/)?/, '').replace(/\?.*$/, '');

export default defineConfig({
  dialect: 'sqlite',
  schema: './src/sqlite/schema.ts',
  out: './drizzle/sqlite',
  ...(url ? { dbCredentials: { url } } : {}),
});
