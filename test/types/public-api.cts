/** The same package from CommonJS. */
import db = require('@triage-warden/db');
import sqlite = require('@triage-warden/db/sqlite');

async function count(): Promise<number> {
  const store: db.Store = await sqlite.openSqliteStore('sqlite::memory:');
  const error: db.StoreError = new db.NotFoundError('incidents', 'x');
  return error.retryable ? 0 : store.incidents.count();
}

export = { count };
