import { setTimeout as sleep } from 'node:timers/promises';

/** The outcome of a promise that must settle: its value, or what it rejected with. Fails when it does neither in time. */
export async function settled<T>(promise: Promise<T>, patienceMs = 25_000): Promise<T | unknown> {
  const late = new AbortController();
  try {
    return await Promise.race([
      promise.catch((error: unknown) => error),
      sleep(patienceMs, undefined, { signal: late.signal }).then(() => {
        throw new Error('A call does not settle');
      }),
    ]);
  } finally {
    late.abort();
  }
}
