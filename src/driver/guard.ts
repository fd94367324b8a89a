import { AsyncLocalStorage } from 'node:async_hooks';
import { TransactionAbortedError, TransactionScopeError } from '../errors.ts';
import { Mutex } from './mutex.ts';
import type { Driver, Isolation, TransactionLimits } from './port.ts';

/** One open transaction or savepoint. What is called through it runs one after the other, and never after its end. */
class Scope {
  readonly queue = new Mutex();
  open = true;
  failure: unknown;

  constructor(
    readonly root: Driver,
    readonly parent: Scope | undefined,
    /** As it was asked for by the outermost one. */
    readonly isolation: Isolation | undefined,
  ) {}

  /** Refuses what can no longer be done in this transaction. */
  check(): void {
    for (let scope: Scope | undefined = this; scope; scope = scope.parent)
      if (!scope.open)
        throw new TransactionScopeError('This transaction has ended: its handle cannot be used any more');
    if (this.failure !== undefined) throw new TransactionAbortedError({ cause: this.failure });
  }
}

const innermost = new AsyncLocalStorage<Scope>();

/**
 * Adds to a bare driver what makes async transactions safe, the same on both databases:
 *  - an outer handle used inside a transaction's callback throws: it would wait for itself (SQLite) or escape the
 *    transaction (PostgreSQL);
 *  - statements of one transaction run in order, so that a sibling cannot slip into a nested transaction's savepoint;
 *  - a handle is dead once its transaction has ended;
 *  - a failed statement dooms its transaction, as in PostgreSQL. A nested transaction contains the failure.
 *
 * Drivers of one store share their `root`.
 */
export function guard(driver: Driver, root: Driver = driver): Driver {
  return guarded(driver, root, undefined);
}

/** Refuses what would wait for the transaction in whose callback it is called: closing or migrating that database. */
export function refuseInside(root: Driver): void {
  for (let inner = innermost.getStore(); inner; inner = inner.parent)
    if (inner.open && inner.root === root)
      throw new TransactionScopeError('This cannot be done inside a transaction of the same store');
}

/** Whether an error is the failure of a statement (or of COMMIT) of the transaction itself, not the callback's own. */
export function isOwnFailure(error: unknown): boolean {
  return typeof error === 'object' && error !== null && ownFailures.has(error);
}

const ownFailures = new WeakSet<object>();
const remember = (error: unknown) => {
  if (typeof error === 'object' && error !== null) ownFailures.add(error);
};

function guarded(driver: Driver, root: Driver, scope: Scope | undefined): Driver {
  const isOuterHandle = (): boolean => {
    for (let inner = innermost.getStore(); inner; inner = inner.parent)
      if (inner.open && inner.root === root && inner.parent === scope) return true;
    return false;
  };

  const enter = <T>(work: () => Promise<T>): Promise<T> =>
    isOuterHandle() ? Promise.reject(outerHandle()) : scope ? inScope(scope, work) : work();

  const statement = <T>(work: () => Promise<T>): Promise<T> =>
    enter(() =>
      scope
        ? work().catch((error) => {
            remember(error);
            scope.failure ??= error;
            throw error;
          })
        : work(),
    );

  return {
    // without a scope, as most reads are, nothing waits: no promise is made beyond the driver's own
    exec: (query) => (scope || isOuterHandle() ? statement(async () => driver.exec(query)) : driver.exec(query)),
    batch: (queries) => statement(() => driver.batch(queries)),
    transaction: <T>(work: (inner: Driver) => Promise<T>, limits: TransactionLimits = {}) => {
      const isolation = limits.isolation ?? scope?.isolation;
      return scope && isolation !== scope.isolation
        ? Promise.reject(otherIsolation())
        : enter(() => nested((inside) => driver.transaction(inside, limits), root, scope, work, isolation));
    },
    // where others are open already, it belongs to them
    ...(driver.bulkTransaction && !scope
      ? {
          bulkTransaction: <T>(work: (inner: Driver) => Promise<T>) =>
            enter(() => nested((inside) => (driver.bulkTransaction ?? driver.transaction)(inside), root, scope, work)),
        }
      : {}),
    ...(driver.steady ? { steady: () => guarded(driver.steady?.() ?? driver, root, scope) } : {}),
  };
}

const outerHandle = () =>
  new TransactionScopeError(
    'Inside a transaction, use the handle that its callback was given: the outer one would wait for it, or escape it',
  );

const otherIsolation = () =>
  new TransactionScopeError('A nested transaction has the isolation of the outermost one: ask for it there');

/** One after the other, and only while the transaction is open and sound. */
async function inScope<T>(scope: Scope, work: () => Promise<T>): Promise<T> {
  scope.check();
  return scope.queue.run(() => {
    scope.check();
    return work();
  });
}

async function nested<T>(
  open: (inside: (inner: Driver) => Promise<T>) => Promise<T>,
  root: Driver,
  parent: Scope | undefined,
  work: (inner: Driver) => Promise<T>,
  isolation?: Isolation,
): Promise<T> {
  const scope = new Scope(root, parent, isolation);
  let thrown: { readonly error: unknown } | undefined;
  try {
    return await open(async (inner) => {
      try {
        const result = await innermost.run(scope, () => work(guarded(inner, root, scope)));
        await scope.queue.idle(); // statements that nobody awaited still belong to it
        if (scope.failure !== undefined) throw scope.failure;
        return result;
      } catch (error) {
        thrown = { error };
        scope.open = false; // what is still under way in it is refused from now on …
        await scope.queue.idle(); // … and a nested transaction that nobody awaited ends before this one is rolled back
        throw error;
      } finally {
        scope.open = false; // before COMMIT or ROLLBACK
      }
    });
  } catch (error) {
    if (!thrown || thrown.error !== error) remember(error); // BEGIN or COMMIT failed
    throw error;
  } finally {
    scope.open = false; // BEGIN failed, or the connection is gone
  }
}
