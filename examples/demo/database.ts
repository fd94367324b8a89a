import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A database to run on. */
export interface Database {
  readonly url: string;
  /** What a person is told of it: never a password. */
  readonly name: string;
}

/** The database that was asked for, or a new SQLite file that goes when the demo ends. */
export function chooseDatabase(url: string | undefined, keep: boolean): Database {
  if (url !== undefined) return { url, name: nameOf(url) };
  const folder = mkdtempSync(join(tmpdir(), 'triage-warden-demo-'));
  const file = join(folder, 'triage.db');
  if (!keep) process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return { url: `sqlite:${encodeURIComponent(file)}`, name: `SQLite, ${keep ? file : 'in a temporary file'}` };
}

function nameOf(url: string): string {
  if (url.startsWith('sqlite:')) return `SQLite, ${url.slice('sqlite:'.length)}`;
  const [, where = ''] = /^\w+:\/\/(?:[^/]*@)?([^?]*)/.exec(url) ?? [];
  return `PostgreSQL, ${where}`;
}
