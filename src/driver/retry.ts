import { setTimeout as sleep } from 'node:timers/promises';
import { SerializationError } from '../errors.ts';
import { isOwnFailure } from './guard.ts';

const FIRST_WAIT_MS = 5;
const LONGEST_WAIT_MS = 200;

/** Waits that double up to a limit, each between half and one and a half of it, so that two waiters part. */
export function backoff(attempt: number, first = FIRST_WAIT_MS, longest = LONGEST_WAIT_MS): Promise<void> {
  return sleep(Math.min(first * 2 ** attempt, longest) * (0.5 + Math.random()));
}

/** Runs a transaction again, up to `retries` times, when the database could not order it among others. */
export async function retrying<T>(retries: number, transaction: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await transaction();
    } catch (error) {
      if (attempt >= retries || !(error instanceof SerializationError) || !isOwnFailure(error)) throw error;
    }
    await backoff(attempt);
  }
}
