import { afterAll, beforeAll, describe } from 'vitest';
import type { Store } from '../../src/store.ts';
import { BACKENDS, type Backend, type TestDatabase } from './databases.ts';

/** What a contract test works with. */
export interface Subject {
  readonly backend: Backend;
  /** Open since the suite began. Tests make their own rows and look only at those. */
  readonly store: Store;
  readonly database: TestDatabase;
}

/** Runs the same tests over every database; `subject()` is there from the first test on. */
export function contract(
  title: string,
  tests: (subject: () => Subject) => void,
  backends: readonly Backend[] = BACKENDS,
): void {
  describe.each(backends)(`${title} · $name`, (backend) => {
    let current: Subject | undefined;
    beforeAll(async () => {
      const database = await backend.create();
      current = { backend, database, store: await database.open() };
    });
    afterAll(async () => {
      await current?.database.drop();
    });
    tests(() => {
      if (!current) throw new Error('The subject is there from the first test on');
      return current;
    });
  });
}
