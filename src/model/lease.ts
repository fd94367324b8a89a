import type { Action, Lease } from './action.ts';

/** The lease that stands in an action's `result`, or null. */
export function leaseOf({ result }: Pick<Action, 'result'>): Lease | null {
  if (typeof result !== 'object' || result === null || Array.isArray(result)) return null;
  const { lease } = result as { lease?: unknown };
  return typeof lease === 'object' && lease !== null && 'token' in lease && 'until' in lease ? (lease as Lease) : null;
}
