import type { Driver, Query } from '../driver/port.ts';
import { BusyError, MigrationError } from '../errors.ts';
import type { MigrationTarget } from '../migrations/migrator.ts';
import type { SqliteConnection } from './driver.ts';

const write = (sql: string, params: readonly unknown[] = []): Query => ({ sql, params, reads: false });

/** BEGIN IMMEDIATE is the lock; drizzle-kit's table is `__drizzle_migrations`. */
export function migrationTarget(connection: SqliteConnection): MigrationTarget {
  return {
    driver: connection,
    async applied(driver: Driver) {
      const { rows: tables } = await driver.exec(
        write(`select 1 from sqlite_master where type = 'table' and name = '__drizzle_migrations'`),
      );
      if (!tables.length) return [];
      const { rows } = await driver.exec(
        write('select hash, created_at from __drizzle_migrations order by created_at, id'),
      );
      return rows.map(([hash, when]) => ({ hash: String(hash), when: Number(when) }));
    },
    exclusively: (work) =>
      connection
        .transactionWithoutForeignKeys(async (driver) => {
          await driver.exec(
            write(
              'create table if not exists __drizzle_migrations (id integer primary key autoincrement, hash text not null, created_at numeric)',
            ),
          );
          return work(driver);
        })
        .catch((error) => {
          if (!(error instanceof BusyError)) throw error;
          throw new MigrationError('locked', [], 'Another process is migrating this database', { cause: error });
        }),
    async run(driver, statement) {
      // foreign keys are off already; inside a transaction this would do nothing
      if (!/^pragma foreign_keys\b/i.test(statement)) await driver.exec(write(statement));
    },
    async record(driver, { hash, when }) {
      await driver.exec(write('insert into __drizzle_migrations (hash, created_at) values (?, ?)', [hash, when]));
    },
    async check(driver, { name }) {
      const { rows } = await driver.exec(write('pragma foreign_key_check'));
      if (rows.length)
        throw new MigrationError('foreign_keys', [name], 'A migration would leave rows that refer to nothing');
    },
  };
}
