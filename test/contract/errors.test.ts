import { expect, it } from 'vitest';
import { DecodeError, isStoreError, StoreError } from '../../src/index.ts';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';
import { newAction, newIncident, proposed } from '../support/fixtures.ts';
import { everythingOf } from '../support/shown.ts';

const SECRET = 'hunter2-s3cret';

const thrownBy = async (work: () => Promise<unknown>): Promise<StoreError> => {
  const error = await work().then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(StoreError);
  expect(isStoreError(error)).toBe(true);
  return error;
};

contract('errors', (subject) => {
  it('are the same on both databases for the same cause, and hold no value', async () => {
    // R-E1, R-E2
    const { store } = subject();
    const { id } = await store.incidents.create(newIncident());
    const nobody = '00000000-0000-7000-8000-000000000000';
    const action = await proposed(store);
    const causes: Record<string, () => Promise<unknown>> = {
      unique_violation: () => store.incidents.create(newIncident({ id, ticketId: SECRET, alertData: SECRET })),
      foreign_key_violation: () => store.actions.propose(newAction(nobody, { reason: SECRET })),
      not_found: () => store.incidents.update(nobody, { ticketId: SECRET }),
      conflict: () => store.actions.complete(action.id, { result: SECRET }),
      validation: () =>
        store.incidents.create(newIncident({ ticketId: SECRET.repeat(100), severity: SECRET as 'low' })),
      transaction_scope: () => store.transaction(() => store.incidents.create(newIncident({ ticketId: SECRET }))),
      transaction_aborted: () =>
        store.transaction(async (tx) => {
          await tx.incidents.create(newIncident({ id, ticketId: SECRET })).catch(() => {});
          await tx.incidents.create(newIncident({ ticketId: SECRET }));
        }),
    };
    for (const [code, cause] of Object.entries(causes)) {
      const error = await thrownBy(cause);
      expect(error.code).toBe(code);
      expect(error.name).toBe(error.constructor.name);
      expect(error.stack?.startsWith(`${error.name}: `)).toBe(true);
      expect(everythingOf(error)).not.toContain(SECRET);
    }
    const unique = await thrownBy(causes.unique_violation as () => Promise<unknown>);
    expect(unique).toMatchObject({ table: 'incidents', columns: ['id'], cause: expect.any(Error) });
    expect(await thrownBy(causes.not_found as () => Promise<unknown>)).toMatchObject({
      table: 'incidents',
      id: nobody,
    });
  });

  it('are thrown by every call on a store that is closed', async () => {
    // R-O1
    const own = await subject().backend.create();
    const store = await own.open();
    const writing = store.incidents.create(newIncident());
    await Promise.all([store.close(), store.close()]);
    await writing; // it drained
    for (const call of [
      () => store.incidents.count(),
      () => store.incidents.create(newIncident()),
      () => store.transaction(async () => 1),
      () => store.incidents.createMany([newIncident()]),
      async () => store.migrationStatus(),
    ])
      expect((await thrownBy(call)).code).toBe('closed');
    await store.close();
    await own.drop();
  });
});

contract(
  'errors of the database itself',
  (subject) => {
    it('are told apart: CHECK, NOT NULL, immutable, read-only', async () => {
      // R-E1: what the library’s own checks let nobody reach is reached below them
      const { database, backend } = subject();
      const { store } = subject();
      const { id } = await store.incidents.create(newIncident());
      const driver = Reflect.get(store, 'cx').driver as {
        exec(query: { sql: string; params: unknown[]; reads: boolean }): Promise<unknown>;
      };
      const run = (sql: string) => thrownBy(() => driver.exec({ sql, params: [], reads: false }));
      expect(await run(`update incidents set source = null where id = '${id}'`)).toMatchObject({
        code: 'not_null_violation',
        table: 'incidents',
        column: 'source',
      });
      expect(await run(`update audit_logs set actor = '${SECRET}'`)).toMatchObject({ code: 'immutable' });
      if (backend.dialect === 'sqlite')
        expect(await run(`update incidents set severity = '${SECRET}'`)).toMatchObject({
          code: 'check_violation',
          constraint: 'incidents_severity_check',
        });
      else {
        await database.raw(
          `alter table incidents add constraint incidents_ticket_check check (ticket_id <> '${SECRET}')`,
        );
        const refused = await run(`update incidents set ticket_id = '${SECRET}' where id = '${id}'`);
        expect(refused).toMatchObject({ code: 'check_violation', constraint: 'incidents_ticket_check' });
        expect(everythingOf(refused)).not.toContain(SECRET);
        const data = await run(`select '${SECRET}'::uuid`);
        expect(data).toMatchObject({ code: 'database', nativeCode: '22P02' });
        expect(everythingOf(data)).not.toContain(SECRET);
        const name = new URL(database.url).pathname.slice(1);
        await database.raw(`alter database "${name}" set statement_timeout = '50ms'`);
        const hasty = await database.open();
        await database.raw(`alter database "${name}" reset statement_timeout`);
        const sleep = { sql: 'select pg_sleep(5)', params: [], reads: true };
        expect((await thrownBy(() => Reflect.get(hasty, 'cx').driver.exec(sleep))).code).toBe('timeout');
      }
      const readOnly =
        backend.dialect === 'sqlite'
          ? await (await import('../../src/sqlite/open.ts')).openSqliteStore(`${database.url}?mode=ro`)
          : await (async () => {
              const name = new URL(database.url).pathname.slice(1);
              await database.raw(`alter database "${name}" set default_transaction_read_only = on`);
              const opened = await database.open();
              await database.raw('set default_transaction_read_only = off');
              await database.raw(`alter database "${name}" reset default_transaction_read_only`);
              return opened;
            })();
      expect((await thrownBy(() => readOnly.incidents.create(newIncident()))).code).toBe('read_only');
      await readOnly.close();
    });

    it('name table, column and id of stored data that cannot be read, and never its content', async () => {
      // R-C6
      const { store, database, backend } = subject();
      const { id } = await store.incidents.create(newIncident({ tags: ['unreadable'] }));
      await store.incidents.create(newIncident({ tags: ['unreadable'] }));
      const action = await proposed(store);
      const approval = await store.approvals.request({ actionId: action.id, approvalLevel: 'senior' });
      const broken: [statement: string, table: string, column: string, of: string, read: () => Promise<unknown>][] = [
        [
          `update approvals set approval_level = '${SECRET}' where id = '${approval.id}'`,
          'approvals',
          'approval_level',
          approval.id,
          () => store.approvals.get(approval.id),
        ],
      ];
      const list = () => store.incidents.list({ tag: 'unreadable' });
      if (backend.dialect === 'sqlite')
        broken.push(
          [`update incidents set metadata = '{"${SECRET}' where id = '${id}'`, 'incidents', 'metadata', id, list],
          [
            `update incidents set metadata = '{}', updated_at = '${SECRET}' where id = '${id}'`,
            'incidents',
            'updated_at',
            id,
            list,
          ],
          [
            `update incidents set updated_at = created_at, created_at = '2024-02-30T00:00:00.000Z' where id = '${id}'`,
            'incidents',
            'created_at',
            id,
            list,
          ],
        );
      else
        broken.push([
          `update incidents set updated_at = 'infinity' where id = '${id}'`,
          'incidents',
          'updated_at',
          id,
          list,
        ]);
      for (const [statement, table, column, of, read] of broken) {
        await database.raw(statement);
        const error = await thrownBy(read);
        expect(error).toBeInstanceOf(DecodeError);
        expect(error).toMatchObject({ code: 'decode', table, column, id: of });
        expect(everythingOf(error)).not.toContain(SECRET);
      }
    });
  },
  SHARED_BACKENDS,
);
