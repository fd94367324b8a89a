import { ConfigurationError } from '../errors.ts';

/** How a SQLite file is opened: only read; read and written; and made when it is missing. */
export type SqliteMode = 'ro' | 'rw' | 'rwc';

export interface SqliteTarget {
  /** A path, or `:memory:`. */
  readonly file: string;
  readonly mode: SqliteMode;
}

/**
 * Reads `sqlite:path`, `sqlite://path?mode=rwc`, `sqlite::memory:`, or a bare path. The mode is `ro`, `rw`, `rwc` (the
 * default) or `memory`.
 *
 * @throws ConfigurationError
 */
export function parseSqliteUrl(url: string): SqliteTarget {
  if (/^(?!sqlite:)[a-z][a-z+]+:/i.test(url) || url.includes('\0') || url.includes('%00'))
    throw new ConfigurationError('SQLite URL: it starts with sqlite:, or is a path');
  const [, rest = ''] = /^(?:sqlite:(?:\/\/)?)?(.*)$/s.exec(url) ?? [];
  const [path = '', query = ''] = rest.split('?', 2);
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys())
    if (name !== 'mode') throw new ConfigurationError(`SQLite URL: the parameter '${name}' is not known; 'mode' is`);
  const mode = parameters.get('mode') ?? 'rwc';
  if (mode !== 'ro' && mode !== 'rw' && mode !== 'rwc' && mode !== 'memory')
    throw new ConfigurationError('SQLite URL: the mode is one of ro, rw, rwc, memory');
  if (path === ':memory:' && mode === 'ro') throw new ConfigurationError('SQLite URL: :memory: cannot only be read');
  if (path === ':memory:' || mode === 'memory') return { file: ':memory:', mode: 'rwc' };
  const file = decode(path);
  if (!file) throw new ConfigurationError('SQLite URL: the path is missing, as in sqlite:data/triage.db');
  return { file, mode };
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new ConfigurationError('SQLite URL: the path holds a % that starts no escape; write it as %25');
  }
}
