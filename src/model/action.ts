import { z } from 'zod';
import { limitedText, text, uuid } from './fields.ts';
import type { JsonObject, JsonValue } from './json.ts';
import type { ACTION_TYPES, ApprovalStatus, Known } from './values.ts';

export type ActionType = Known<(typeof ACTION_TYPES)[number]>;

/** What an action is done to. */
export type ActionTarget =
  | { readonly host: { readonly hostname: string; readonly ip?: string | null } }
  | { readonly user: { readonly username: string; readonly email?: string | null } }
  | { readonly ip_address: string }
  | { readonly domain: string }
  | { readonly email: { readonly message_id: string } }
  | { readonly ticket: { readonly ticket_id: string } }
  | 'none'
  | JsonObject;

/** A worker's claim on an action, kept in the action's `result` until the worker has one. */
export interface Lease {
  /** Who holds it. */
  readonly worker: string;
  /** What `complete`, `fail`, `renew` and `release` ask for; a new one for every claim. */
  readonly token: string;
  /** When another worker may take over, ISO 8601. */
  readonly until: string;
}

/** A row of `actions`. */
export interface Action {
  readonly id: string;
  readonly incidentId: string;
  readonly actionType: ActionType;
  readonly target: ActionTarget;
  readonly parameters: JsonObject;
  readonly reason: string;
  /** 1 to 100; the lower, the sooner. */
  readonly priority: number;
  readonly approvalStatus: ApprovalStatus;
  /** Who approved or denied it; null while it is pending. */
  readonly approvedBy: string | null;
  /** When it was approved or denied. */
  readonly approvalTimestamp: Date | null;
  /** What came of it; `{ lease }` while a worker has it; null before. */
  readonly result: JsonValue;
  readonly createdAt: Date;
  readonly executedAt: Date | null;
}

/** An action that a worker holds. */
export interface ClaimedAction extends Action {
  readonly lease: Lease;
}

/** An action to be proposed; it is pending until it is approved or denied. */
export interface NewAction {
  readonly id?: string | undefined;
  readonly incidentId: string;
  readonly actionType: ActionType;
  readonly target: ActionTarget;
  readonly parameters?: JsonObject | undefined;
  readonly reason: string;
  /** 1 to 100, by default 50; the lower, the sooner. */
  readonly priority?: number | undefined;
}

const word = limitedText(500);

export const actionTarget = z.union([
  z.literal('none'),
  z.looseObject({
    host: z.looseObject({ hostname: word, ip: word.nullish() }).optional(),
    user: z.looseObject({ username: word, email: word.nullish() }).optional(),
    ip_address: word.optional(),
    domain: word.optional(),
    email: z.looseObject({ message_id: word }).optional(),
    ticket: z.looseObject({ ticket_id: word }).optional(),
  }),
]);

export const newAction = z.strictObject({
  id: uuid.optional(),
  incidentId: uuid,
  actionType: limitedText(100),
  target: actionTarget,
  parameters: z.looseObject({}).optional(),
  reason: text.max(10_000),
  priority: z.number().int().min(1).max(100).optional(),
});
