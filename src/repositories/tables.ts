/**
 * The tables that repositories are written against. Every type here is proved at compile time: the rows of both dialects are
 * equal to each other, and to the plain types of `model/` that the public API shows.
 */
import { getTableColumns, type Table } from 'drizzle-orm';
import type { Action } from '../model/action.ts';
import type { Approval } from '../model/approval.ts';
import type { AuditLog } from '../model/audit-log.ts';
import type { ApiKey, Session, User } from '../model/authentication.ts';
import type { Connector, NotificationChannel, Playbook, Policy, Setting } from '../model/configuration.ts';
import type { Incident } from '../model/incident.ts';
import type * as postgres from '../postgres/schema.ts';
import type * as sqlite from '../sqlite/schema.ts';

/** The rows of the twelve tables, in the document's order, as they are read: without the hashes. */
export interface Rows {
  incidents: Incident;
  auditLogs: AuditLog;
  actions: Action;
  approvals: Approval;
  playbooks: Playbook;
  connectors: Connector;
  policies: Policy;
  notificationChannels: NotificationChannel;
  settings: Setting;
  users: User;
  sessions: Session;
  apiKeys: ApiKey;
}
export type TableName = keyof Rows;

/** The columns that no read answers but the one that is made for them. */
const HIDDEN = { users: 'passwordHash', apiKeys: 'keyHash' } as const satisfies Partial<Record<TableName, string>>;

/** The rows as they are stored. */
type StoredRows = {
  [K in TableName]: K extends keyof typeof HIDDEN ? Rows[K] & { readonly [C in (typeof HIDDEN)[K]]: string } : Rows[K];
};

/** The keys of the columns that reads answer, in the table's order. */
export const readable = (tables: Tables, name: TableName): readonly string[] =>
  Object.keys(getTableColumns<Table>(tables[name])).filter(
    (key) => key !== (HIDDEN as Partial<Record<TableName, string>>)[name],
  );

/** The twelve tables, as PostgreSQL's schema types them; at run time, those of the dialect that was opened. */
export type Tables = Pick<typeof postgres, TableName>;

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Flat<T> = { readonly [K in keyof T]: T[K] };

type DialectsDiffer = {
  [K in TableName]: Equal<
    [(typeof postgres)[K]['$inferSelect'], (typeof postgres)[K]['$inferInsert']],
    [(typeof sqlite)[K]['$inferSelect'], (typeof sqlite)[K]['$inferInsert']]
  > extends true
    ? never
    : K;
}[TableName];

type ModelDiffers = {
  [K in TableName]: Equal<Flat<Tables[K]['$inferSelect']>, Flat<StoredRows[K]>> extends true ? never : K;
}[TableName];

/** Does not compile when a table's rows differ; the error names the table. */
type Proof<Differing extends never> = Differing;
export type Proved = [Proof<DialectsDiffer>, Proof<ModelDiffers>];

/**
 * Takes the SQLite tables for what repositories are written against. The proof above makes the rows equal, and repositories
 * use nothing of a table but its columns' names and codecs.
 */
export const asTables = (tables: Readonly<Record<TableName, Table>>): Tables => tables as unknown as Tables;
