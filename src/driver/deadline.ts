import { clearTimeout, setTimeout } from 'node:timers';

/** `performance.now()` in so many milliseconds. */
export const deadlineIn = (ms: number): number => performance.now() + ms;

/**
 * Settles as `work` does, or rejects with what `late` makes when that has not happened by the deadline. What `work` does later is ignored, also
 * when it fails. An aborted `signal` takes the limit away: nothing waits for it any more.
 */
export function before<T>(deadline: number, late: () => Error, work: PromiseLike<T>, signal?: AbortSignal): Promise<T> {
  if (deadline === Number.POSITIVE_INFINITY) return Promise.resolve(work);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), Math.min(2_147_483_647, Math.max(0, deadline - performance.now())));
    signal?.addEventListener('abort', () => clearTimeout(timer), { once: true });
    // a source may give a thenable that has nothing but `then`
    void Promise.resolve(work)
      .then(resolve, reject)
      .then(() => clearTimeout(timer));
  });
}
