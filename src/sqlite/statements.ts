import type Sqlite from 'better-sqlite3';
import type { Query, Result } from '../driver/port.ts';

const CAPACITY = 512;

/** The prepared statements of one connection; the least recently used one is dropped first. */
export class Statements {
  readonly #prepared = new Map<string, Sqlite.Statement<unknown[], unknown[]>>();
  #latest: { readonly sql: string; readonly statement: Sqlite.Statement<unknown[], unknown[]> } | undefined;

  constructor(private readonly database: Sqlite.Database) {}

  run({ sql, params, each, receive }: Query): Result {
    const statement = this.#prepare(sql);
    if (each) {
      let count = 0;
      for (const values of each) count += statement.run(...values).changes;
      return { rows: [], count };
    }
    if (!statement.reader) return { rows: [], count: statement.run(...params).changes };
    const rows = statement.all(...params);
    if (receive) {
      const take = receive();
      for (const row of rows) take(row);
      return { rows: [], count: rows.length };
    }
    return { rows, count: rows.length };
  }

  #prepare(sql: string): Sqlite.Statement<unknown[], unknown[]> {
    if (this.#latest?.sql === sql) return this.#latest.statement;
    let statement = this.#prepared.get(sql);
    if (statement) this.#prepared.delete(sql);
    else {
      statement = this.database.prepare<unknown[], unknown[]>(sql);
      if (statement.reader) statement.raw(true);
      if (this.#prepared.size >= CAPACITY) this.#prepared.delete(this.#prepared.keys().next().value ?? '');
    }
    this.#prepared.set(sql, statement); // a Map keeps the order of insertion: the first one is the least recently used
    this.#latest = { sql, statement };
    return statement;
  }
}
