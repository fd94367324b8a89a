/** Several writes in one transaction of SQLite, so that they share one flush of the disk. */
import type Sqlite from 'better-sqlite3';
import { INSTANT, type Query, type Result } from '../driver/port.ts';
import type { Waiter } from '../driver/turns.ts';
import { TrailError } from '../errors.ts';
import { classify, isBusy } from './errors.ts';
import type { Statements } from './statements.ts';

/** Statements that are one change, and who waits for it. */
export interface Write {
  readonly queries: readonly Query[];
  /** When it was asked for. */
  readonly asked: number;
  readonly waiter: Waiter;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/** What became of a write, once the transaction was committed. */
export type Outcome = { readonly result: Result } | { readonly error: unknown };

/** The writer, and its statements that frame others. */
export interface Committing {
  readonly writer: Sqlite.Database;
  readonly statements: Statements;
  readonly begins: Sqlite.Statement;
  readonly commits: Sqlite.Statement;
  readonly rollsBack: Sqlite.Statement;
  readonly saves: Sqlite.Statement;
  readonly releases: Sqlite.Statement;
  readonly undoes: Sqlite.Statement;
}

/** Milliseconds of writing before a commit: the rest of a large group waits for the next one. */
const LIMIT_MS = 5;

/**
 * Runs writes in one transaction, at once, and answers their outcomes: of all of them, or of the first ones when they took long.
 * One that fails is undone alone. Throws when nothing was written: another process holds the lock, or the commit failed.
 */
export function commitTogether(by: Committing, writes: readonly Write[]): readonly Outcome[] {
  const [only] = writes;
  if (writes.length === 1 && only) return [outcomeOf(() => alone(by, only.queries))];
  by.begins.run();
  try {
    const outcomes: Outcome[] = [];
    const until = performance.now() + LIMIT_MS;
    for (const { queries } of writes) {
      if (outcomes.length && performance.now() >= until) break;
      const outcome = outcomeOf(() => (queries.length === 1 ? runAll(by.statements, queries) : saved(by, queries)));
      // after some failures SQLite has rolled back everything by itself: disk full, I/O error, RAISE(ROLLBACK)
      if (!by.writer.inTransaction) return outcomes.length ? retried(by, writes, outcomes.length, outcome) : [outcome];
      outcomes.push(outcome);
    }
    by.commits.run();
    return outcomes;
  } catch (error) {
    if (by.writer.inTransaction) by.rollsBack.run();
    throw error;
  }
}

/** Hands a write's outcome to whoever waits for it. */
export function settle(write: Write, outcome: Outcome): void {
  if ('result' in outcome) write.resolve(outcome.result);
  else write.reject(outcome.error);
}

/** Runs the statements of one change: behind the lock, so that the clock is read once nothing can come in between. */
export function runAll(statements: Statements, queries: readonly Query[]): Result {
  let result: Result = { rows: [], count: 0 };
  let instant: string | undefined;
  for (const query of queries) {
    const { count } = result;
    if (query.params.includes(INSTANT)) {
      const at = (instant ??= new Date().toISOString());
      result = statements.run({ ...query, params: query.params.map((value) => (value === INSTANT ? at : value)) });
    } else result = statements.run(query);
    if (query.asMany && result.count !== count) throw new TrailError();
  }
  return instant === undefined ? result : { ...result, instant };
}

/** A write that nobody else waits with. */
function alone(by: Committing, queries: readonly Query[]): Result {
  if (queries.length === 1) return runAll(by.statements, queries); // a statement is a transaction of its own
  by.begins.run();
  try {
    const result = runAll(by.statements, queries);
    by.commits.run();
    return result;
  } catch (error) {
    if (by.writer.inTransaction) by.rollsBack.run();
    throw error;
  }
}

/** The writes before the one that took everything along, again without it. */
function retried(by: Committing, writes: readonly Write[], failedAt: number, failure: Outcome): readonly Outcome[] {
  const before = commitTogether(by, writes.slice(0, failedAt));
  return before.length === failedAt ? [...before, failure] : before;
}

/** All of them, or none. */
function saved(by: Committing, queries: readonly Query[]): Result {
  by.saves.run();
  try {
    const result = runAll(by.statements, queries);
    by.releases.run();
    return result;
  } catch (error) {
    if (by.writer.inTransaction) {
      by.undoes.run();
      by.releases.run();
    }
    throw error;
  }
}

/** A lock that another process holds is no outcome: it is waited for. */
function outcomeOf(write: () => Result): Outcome {
  try {
    return { result: write() };
  } catch (error) {
    if (isBusy(error)) throw error;
    return { error: classify(error) };
  }
}
