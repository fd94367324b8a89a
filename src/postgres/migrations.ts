import type { Driver, Query } from '../driver/port.ts';
import { BusyError, MigrationError } from '../errors.ts';
import type { MigrationTarget } from '../migrations/migrator.ts';
import type { PostgresConnection } from './driver.ts';

const write = (sql: string, params: readonly unknown[] = []): Query => ({ sql, params, reads: false });

/** One key for all migrations of this library in one database; PostgreSQL's advisory locks are per database. */
const LOCK_KEY = 7_426_201_126;
const LOCK_TIMEOUT_MS = 120_000;

/**
 * An advisory lock of the transaction: it goes with the transaction, however that ends, and works behind a pooler. drizzle-kit's
 * table is `drizzle.__drizzle_migrations`.
 */
export function migrationTarget(connection: PostgresConnection, timeoutMs: number): MigrationTarget {
  /** A statement that may take as long as the whole migration. */
  const long = (sql: string): Query => ({ ...write(sql), timeoutMs });
  return {
    driver: connection,
    async applied(driver: Driver) {
      const { rows: tables } = await driver.exec(write(`select to_regclass('drizzle.__drizzle_migrations')::text`));
      if (tables[0]?.[0] === null) return [];
      const { rows } = await driver.exec(
        write('select hash, created_at from drizzle.__drizzle_migrations order by created_at, id'),
      );
      return rows.map(([hash, when]) => ({ hash: String(hash), when: Number(when) }));
    },
    exclusively: (work) =>
      connection.transaction(
        async (driver) => {
          await driver.exec(write(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`));
          try {
            await driver.exec(long(`select pg_advisory_xact_lock(${LOCK_KEY})::text`));
          } catch (error) {
            if (!(error instanceof BusyError)) throw error;
            throw new MigrationError('locked', [], 'Another process is migrating this database', { cause: error });
          }
          await driver.exec(write('create schema if not exists drizzle'));
          await driver.exec(
            write(
              'create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)',
            ),
          );
          return work(driver);
        },
        { timeoutMs: timeoutMs + LOCK_TIMEOUT_MS },
      ),
    run: async (driver, statement) => void (await driver.exec(long(statement))),
    record: async (driver, { hash, when }) =>
      void (await driver.exec(
        write('insert into drizzle.__drizzle_migrations (hash, created_at) values ($1, $2)', [hash, when]),
      )),
    check: async () => {}, // constraints hold at every statement
  };
}
