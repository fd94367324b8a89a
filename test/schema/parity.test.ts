/** The catalogs after all migrations against the schema document, as `document.json` lists it: not against our schema files. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { contract } from '../support/contract.ts';
import { SHARED_BACKENDS } from '../support/databases.ts';

interface DocumentColumn {
  readonly name: string;
  readonly kind: 'uuid' | 'json' | 'enum' | 'text' | 'timestamp' | 'integer' | 'boolean' | 'bytes';
  readonly nullable: boolean;
  readonly default?: string;
  readonly primaryKey?: boolean;
  readonly unique?: boolean;
  readonly references?: string;
  readonly values?: readonly string[];
}

interface DocumentTable {
  readonly table: string;
  readonly columns: readonly DocumentColumn[];
  readonly indexes: readonly string[];
}

const document = JSON.parse(
  readFileSync(new URL('document.json', import.meta.url), 'utf8'),
) as readonly DocumentTable[];

/** What a database says of a table, in the document's words. */
interface CatalogTable {
  readonly columns: readonly DocumentColumn[];
  /** The columns of each index, in order. */
  readonly indexes: readonly (readonly string[])[];
}

type Raw = (sql: string) => Promise<readonly Record<string, unknown>[]>;

const SQLITE_TYPES = {
  uuid: 'TEXT',
  json: 'TEXT',
  enum: 'TEXT',
  text: 'TEXT',
  timestamp: 'TEXT',
  integer: 'INTEGER',
  boolean: 'INTEGER',
  bytes: 'BLOB',
};

async function sqliteTable(raw: Raw, wanted: DocumentTable): Promise<CatalogTable> {
  const columns = await raw(`select * from pragma_table_info('${wanted.table}')`);
  const keys = await raw(`select * from pragma_foreign_key_list('${wanted.table}')`);
  const indexes = await raw(`select * from pragma_index_list('${wanted.table}')`);
  const [{ sql } = {}] = await raw(`select sql from sqlite_master where name = '${wanted.table}'`);
  const indexed = await Promise.all(
    indexes.map(async ({ name, unique }) => ({
      unique: unique === 1,
      columns: (await raw(`select name from pragma_index_info('${name}') order by seqno`)).map((column) =>
        String(column.name),
      ),
    })),
  );
  return {
    columns: columns.map(({ name, type, notnull, dflt_value, pk }): DocumentColumn => {
      const document = wanted.columns.find((column) => column.name === name);
      const values = new RegExp(`"${name}" in \\(([^)]*)\\)`).exec(String(sql))?.[1];
      const fallback = dflt_value === null ? undefined : String(dflt_value).replace(/^'(.*)'$/, '$1');
      return {
        name: String(name),
        // TEXT and INTEGER stand for several kinds: the right one, if the type is that kind's
        kind:
          document && SQLITE_TYPES[document.kind] === String(type).toUpperCase()
            ? document.kind
            : (`${type}` as 'text'),
        nullable: notnull === 0,
        ...(fallback === undefined
          ? {}
          : { default: document?.kind === 'boolean' ? fallback.toUpperCase() : fallback }),
        ...(pk ? { primaryKey: true } : {}),
        ...(indexed.some((index) => index.unique && index.columns.join() === name && !pk) ? { unique: true } : {}),
        ...(keys.some(({ from }) => from === name)
          ? { references: String(keys.find(({ from }) => from === name)?.table) }
          : {}),
        ...(values === undefined ? {} : { values: values.split(', ').map((value) => value.slice(1, -1)) }),
      };
    }),
    indexes: indexed.map((index) => index.columns),
  };
}

const POSTGRES_TYPES: Record<string, DocumentColumn['kind']> = {
  uuid: 'uuid',
  jsonb: 'json',
  text: 'text',
  'timestamp with time zone': 'timestamp',
  integer: 'integer',
  bigint: 'integer',
  boolean: 'boolean',
  bytea: 'bytes',
  'USER-DEFINED': 'enum',
};

async function postgresTable(raw: Raw, { table }: DocumentTable): Promise<CatalogTable> {
  const columns = await raw(
    `select column_name, data_type, udt_name, is_nullable, column_default, datetime_precision from information_schema.columns where table_name = '${table}' order by ordinal_position`,
  );
  const constraints = await raw(
    `select contype, a.attname, f.relname from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey) left join pg_class f on f.oid = c.confrelid where c.conrelid = '${table}'::regclass`,
  );
  const indexes = await raw(
    `select (select string_agg(pg_get_indexdef(indexrelid, n, true), ',' order by n) from generate_series(1, indnkeyatts) n) as columns from pg_index where indrelid = '${table}'::regclass`,
  );
  const values = await raw(
    "select t.typname, string_agg(e.enumlabel, ',' order by e.enumsortorder) as labels from pg_type t join pg_enum e on e.enumtypid = t.oid group by 1",
  );
  const has = (type: string, name: unknown) =>
    constraints.find(({ contype, attname }) => contype === type && attname === name);
  return {
    columns: columns.map(({ column_name, data_type, udt_name, is_nullable, column_default }): DocumentColumn => {
      const fallback = column_default === null ? undefined : String(column_default).replace(/^'(.*)'::.*$/, '$1');
      const kind = POSTGRES_TYPES[String(data_type)] ?? (String(data_type) as 'text');
      const labels = values.find(({ typname }) => typname === udt_name)?.labels;
      return {
        name: String(column_name),
        kind,
        nullable: is_nullable === 'YES',
        ...(fallback === undefined ? {} : { default: kind === 'boolean' ? fallback.toUpperCase() : fallback }),
        ...(has('p', column_name) ? { primaryKey: true } : {}),
        ...(has('u', column_name) ? { unique: true } : {}),
        ...(has('f', column_name) ? { references: String(has('f', column_name)?.relname) } : {}),
        ...(labels === undefined ? {} : { values: String(labels).split(',') }),
      };
    }),
    indexes: indexes.map((index) => String(index.columns).split(',')),
  };
}

contract(
  'the schema document',
  (subject) => {
    it.each(document.map((table) => [table.table, table] as const))('describes %s as it is', async (_, wanted) => {
      // R-M9
      const { database, backend } = subject();
      const read = backend.dialect === 'sqlite' ? sqliteTable : postgresTable;
      const { columns, indexes } = await read(database.raw, wanted);
      expect(columns).toEqual(wanted.columns);
      // each index of the document, as the leading column of one: those on created_at carry the id as a tie-break
      for (const column of wanted.indexes) expect(indexes.map(([leading]) => leading)).toContain(column);
    });

    it('has twelve tables, though it says eleven, and the database has no others', async () => {
      // R-M9
      const { database, backend } = subject();
      const rows = await database.raw(
        backend.dialect === 'sqlite'
          ? `select name from sqlite_master where type = 'table' and name not like 'sqlite_%' and name <> '__drizzle_migrations'`
          : `select tablename as name from pg_tables where schemaname = 'public'`,
      );
      expect(rows.map(({ name }) => String(name)).sort()).toEqual(document.map(({ table }) => table).sort());
      expect(document).toHaveLength(12);
    });

    it('is what an empty value of every column with a default becomes', async () => {
      // the document's defaults, written by the database itself
      const { database, store } = subject();
      const id = '00000000-0000-7000-8000-0000000000d1';
      await database.raw(
        `insert into incidents (id, source, severity, status, alert_data, created_at, updated_at) values ('${id}', '{}', 'low', 'new', '{}', '2024-01-01T00:00:00.000Z', '2024-01-01T00:00:00.000Z')`,
      );
      await database.raw(
        `insert into actions (id, incident_id, action_type, target, reason, approval_status, created_at) values ('${id}', '${id}', 'block_ip', '"none"', 'r', 'pending', '2024-01-01T00:00:00.000Z')`,
      );
      expect(await store.incidents.get(id)).toMatchObject({
        enrichments: [],
        proposedActions: [],
        tags: [],
        metadata: {},
        analysis: null,
      });
      expect(await store.actions.get(id)).toMatchObject({ parameters: {}, priority: 50, target: 'none', result: null });
    });

    it('leaves no parameter in any DDL', async () => {
      // R-M9: drizzle-kit binds parameters in CHECKs (drizzle-orm#3713)
      const { backend } = subject();
      const folder = new URL(`../../drizzle/${backend.dialect}/`, import.meta.url);
      const { readdirSync } = await import('node:fs');
      const files = readdirSync(folder).filter((name) => name.endsWith('.sql'));
      expect(files.length).toBeGreaterThan(0);
      for (const name of files)
        expect(readFileSync(new URL(name, folder), 'utf8').replace(/\$\$/g, '')).not.toMatch(/\?|\$\d/);
    });

    it('has the foreign keys of the design: the trail restricts, the others cascade', async () => {
      const { database, backend } = subject();
      const rules = async (table: string) => {
        const rows = await database.raw(
          backend.dialect === 'sqlite'
            ? `select on_delete as rule from pragma_foreign_key_list('${table}')`
            : `select delete_rule as rule from information_schema.referential_constraints r join information_schema.table_constraints t using (constraint_name) where t.table_name = '${table}'`,
        );
        return [...new Set(rows.map(({ rule }) => String(rule)))];
      };
      expect(await rules('audit_logs')).toEqual(['RESTRICT']);
      for (const table of ['actions', 'approvals', 'api_keys']) expect(await rules(table)).toEqual(['CASCADE']);
    });
  },
  SHARED_BACKENDS,
);
