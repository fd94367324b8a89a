/**
 * A thread that stores what a bulk insert has encoded: on a connection of its own, while the event loop encodes the next rows.
 * A large transaction of SQLite ends with a commit that takes as long as half a second, and with a log that takes as long again to
 * be copied into the file: neither timers nor sockets wait for that.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type Sqlite from 'better-sqlite3';
import type { Query, Result } from '../driver/port.ts';
import { ConnectionError, TrailError } from '../errors.ts';

/** What it runs: statements, until it is told to copy the log and to end. */
const PROGRAM = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { driver, file, pragmas } = workerData;
  const database = new (require(driver))(file, { timeout: 0, fileMustExist: true });
  for (const [name, value] of pragmas) database.pragma(name + ' = ' + value);
  const prepared = new Map();
  const run = ({ sql, params, each }) => {
    let statement = prepared.get(sql);
    if (!statement) {
      statement = database.prepare(sql);
      if (statement.reader) statement.raw(true);
      prepared.set(sql, statement);
    }
    if (each) return { rows: [], count: each.reduce((count, values) => count + statement.run(...values).changes, 0) };
    if (!statement.reader) return { rows: [], count: statement.run(...params).changes };
    const rows = statement.all(...params);
    return { rows, count: rows.length };
  };
  parentPort.on('message', (queries) => {
    if (!queries) {
      try {
        if (database.inTransaction) database.exec('rollback');
        // the rest of a log that others write to meanwhile is copied while they wait for a moment: or it would never start anew
        for (let i = 0; i < 20; i++) {
          database.pragma('wal_checkpoint(PASSIVE)');
          try {
            if (database.pragma('wal_checkpoint(TRUNCATE)')[0].busy === 0) break;
          } catch ({ code }) {
            if (!String(code).startsWith('SQLITE_BUSY')) throw new Error(code);
          }
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
        }
      } finally {
        database.close();
        parentPort.close();
      }
      return;
    }
    let answer;
    try {
      let result = { rows: [], count: 0 };
      for (const query of queries) {
        const { count } = result;
        result = run(query);
        if (query.asMany && result.count !== count) throw { message: 'dropped', code: 'TRAIL' };
      }
      answer = { result };
    } catch ({ message, code }) {
      answer = { failure: { message, code } };
    }
    parentPort.postMessage({ ...answer, inTransaction: database.inTransaction });
  });
  parentPort.postMessage({ result: { rows: [], count: 0 }, inTransaction: false });
`;

interface Answer {
  readonly result?: Result;
  /** What better-sqlite3 threw. */
  readonly failure?: { readonly message: string; readonly code?: string };
  readonly inTransaction: boolean;
}

interface Waiting {
  resolve(result: Result): void;
  reject(error: unknown): void;
}

export class BulkThread {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #hasExited = false;
  /** Whether its transaction is open. */
  inTransaction = false;
  /** When it has copied the log and closed its connection. Never fails. */
  readonly ended: Promise<void>;

  private constructor(writer: Sqlite.Database) {
    const pragmas = ['synchronous', 'fullfsync', 'checkpoint_fullfsync', 'foreign_keys', 'cache_size'].map((name) => [
      name,
      writer.pragma(name, { simple: true }),
    ]);
    this.#worker = new Worker(PROGRAM, {
      eval: true,
      execArgv: [], // of the process: what they load is not for this thread
      workerData: {
        driver: createRequire(import.meta.url).resolve('better-sqlite3'),
        file: writer.name,
        // it copies the log when the commit is acknowledged, not before
        pragmas: [...pragmas, ['wal_autocheckpoint', 0]],
      },
    });
    this.#worker.on('message', ({ result, failure, inTransaction }: Answer) => {
      this.inTransaction = inTransaction;
      const waiting = this.#waiting.shift();
      if (result) waiting?.resolve(result);
      else if (failure?.code === 'TRAIL') waiting?.reject(new TrailError());
      else waiting?.reject(Object.assign(new Error(failure?.message), { code: failure?.code }));
    });
    let cause: unknown;
    this.#worker.on('error', (error) => {
      cause = error;
    });
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.inTransaction = false;
        this.#hasExited = true;
        for (const { reject } of this.#waiting.splice(0))
          reject(new ConnectionError('lost', { cause, outcome: 'unknown' }));
        resolve();
      });
    });
  }

  /** Undefined where there can be none, as in a bundle that has the driver's files elsewhere. */
  static async start(writer: Sqlite.Database): Promise<BulkThread | undefined> {
    try {
      const thread = new BulkThread(writer);
      await thread.#answer();
      return thread;
    } catch {
      return undefined;
    }
  }

  /** Runs statements in order, and answers the last one's result. Fails as better-sqlite3 does. */
  run(queries: readonly Query[]): Promise<Result> {
    if (this.#hasExited) return Promise.reject(new ConnectionError('lost', { outcome: 'rolled_back' }));
    this.#worker.postMessage(queries.map(({ sql, params, each }) => ({ sql, params, each })));
    return this.#answer();
  }

  /** Undoes what is not committed, copies the log and ends. Nobody waits for it, unless the store is closed. */
  end(): void {
    this.#worker.postMessage(null);
    this.#worker.unref();
  }

  /** The process does not end before it. */
  keep(): void {
    this.#worker.ref();
  }

  /** Ends it wherever it is: what is not committed is undone. */
  kill(): void {
    void this.#worker.terminate();
  }

  #answer(): Promise<Result> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}
