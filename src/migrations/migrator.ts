import type { Driver } from '../driver/port.ts';
import { MigrationError } from '../errors.ts';

/** A migration of the package. */
export interface Migration {
  /** Such as `0000_init`. */
  readonly name: string;
  /** When it was generated, Unix milliseconds: drizzle-kit's order and key. */
  readonly when: number;
  /** SHA-256 of its file, hexadecimal. */
  readonly hash: string;
  readonly statements: readonly string[];
}

/** A migration that the database records, in drizzle-kit's own table. */
export interface AppliedMigration {
  readonly hash: string;
  readonly when: number;
}

/** Which migrations are in the database. */
export interface MigrationStatus {
  readonly applied: readonly string[];
  readonly pending: readonly string[];
}

/** What each database does in its own way to migrate. */
export interface MigrationTarget {
  /** What is recorded, oldest first; empty when nothing ever was. Needs no rights but to read. */
  applied(driver: Driver): Promise<readonly AppliedMigration[]>;
  /**
   * Runs `work` in a transaction that every other migrating process waits for; it may change tables that others refer to. With
   * the first one, drizzle-kit's table is made.
   *
   * @throws MigrationError `locked` when another process migrates for too long.
   */
  exclusively<T>(work: (driver: Driver) => Promise<T>): Promise<T>;
  run(driver: Driver, statement: string): Promise<void>;
  record(driver: Driver, migration: Migration): Promise<void>;
  /** Before COMMIT: throws when rows were left that refer to nothing. */
  check(driver: Driver, migration: Migration): Promise<void>;
  readonly driver: Driver;
}

/** Applies the package's migrations, one transaction each. */
export class Migrator {
  constructor(
    private readonly target: MigrationTarget,
    private readonly migrations: readonly Migration[],
  ) {}

  async status(): Promise<MigrationStatus> {
    const pending = compare(await this.target.applied(this.target.driver), this.migrations);
    return {
      applied: this.migrations.slice(0, this.migrations.length - pending.length).map(({ name }) => name),
      pending: pending.map(({ name }) => name),
    };
  }

  /** @throws MigrationError `pending` when something is. */
  async verify(): Promise<void> {
    const { pending } = await this.status();
    if (pending.length) throw new MigrationError('pending', pending, 'The database has migrations pending');
  }

  async migrate(): Promise<readonly string[]> {
    const names: string[] = [];
    // a look without the lock first: opening a store that is up to date costs one query and needs no rights
    let { pending } = await this.status();
    while (pending.length) {
      const name = await this.target.exclusively((driver) => this.#next(driver));
      if (name === undefined) break; // others were faster
      names.push(name);
      ({ pending } = await this.status());
    }
    return names;
  }

  /** Applies the first migration that is pending now that no other process can; none left: undefined. */
  async #next(driver: Driver): Promise<string | undefined> {
    const [migration] = compare(await this.target.applied(driver), this.migrations);
    if (!migration) return undefined;
    try {
      for (const statement of migration.statements) await this.target.run(driver, statement);
      await this.target.check(driver, migration);
      await this.target.record(driver, migration);
    } catch (error) {
      if (error instanceof MigrationError) throw error;
      throw new MigrationError('failed', [migration.name], 'A migration failed and was rolled back', { cause: error });
    }
    return migration.name;
  }
}

/**
 * What is pending: the package's migrations after those that the database records, which must be the package's first ones.
 *
 * @throws MigrationError `edited`, `missing`, `out_of_order` or `newer`, with the migration it is about.
 */
export function compare(applied: readonly AppliedMigration[], migrations: readonly Migration[]): readonly Migration[] {
  const newest = migrations.at(-1)?.when ?? 0;
  applied.forEach(({ hash, when }, i) => {
    const expected = migrations[i];
    if (expected?.hash === hash) return;
    const known = migrations.find((migration) => migration.hash === hash);
    if (known && expected && !applied.some((other) => other.hash === expected.hash))
      throw new MigrationError('missing', [expected.name], 'A later migration is applied, this one was not');
    if (known) throw new MigrationError('out_of_order', [known.name], 'The migrations were applied in another order');
    const edited = migrations.find((migration) => migration.when === when);
    if (edited) throw new MigrationError('edited', [edited.name], 'A migration was changed after it was applied');
    if (when > newest)
      throw new MigrationError(
        'newer',
        [hash.slice(0, 12)],
        'The database is newer than this package: unknown migration',
      );
    throw new MigrationError('missing', [hash.slice(0, 12)], 'The database has a migration that this package lacks');
  });
  return migrations.slice(applied.length);
}
