/**
 * The library as users get it: the built files. Their types are those of the sources, so that types are checked also
 * where nothing has been built.
 */
export type {
  ApiKey,
  AuditLog,
  Incident,
  IncidentFilter,
  IncidentStatus,
  NewAuditLog,
  NewIncident,
  Policy,
  Session,
  User,
  VerifiedApiKey,
} from '../src/index.ts';
export type { Store } from '../src/store.ts';

const built = (file: string): Promise<unknown> => import(new URL(`../dist/${file}`, import.meta.url).href);

export async function openSqliteStore(...how: Parameters<typeof import('../src/sqlite/open.ts')['openSqliteStore']>) {
  const library = (await built('sqlite/open.js')) as typeof import('../src/sqlite/open.ts'); // built of that file
  return library.openSqliteStore(...how);
}

export async function openPostgresStore(
  ...how: Parameters<typeof import('../src/postgres/open.ts')['openPostgresStore']>
) {
  const library = (await built('postgres/open.js')) as typeof import('../src/postgres/open.ts'); // built of that file
  return library.openPostgresStore(...how);
}
