import { z } from 'zod';
import { limitedText, uuid } from './fields.ts';
import type { JsonObject } from './json.ts';
import type { AUDIT_ACTIONS, Known } from './values.ts';

export type AuditAction = Known<(typeof AUDIT_ACTIONS)[number]>;

/** A row of `audit_logs`: never changed, never removed. */
export interface AuditLog {
  readonly id: string;
  readonly incidentId: string;
  readonly action: AuditAction;
  /** A user name, or `system`. */
  readonly actor: string;
  /** What changed, such as `{ from, to }`. Never a secret. */
  readonly details: JsonObject | null;
  readonly createdAt: Date;
}

/** An entry to be appended; the actor is the store's own, and the time is now. */
export interface NewAuditLog {
  readonly id?: string | undefined;
  readonly incidentId: string;
  readonly action: AuditAction;
  readonly details?: JsonObject | null | undefined;
}

export const newAuditLog = z.strictObject({
  id: uuid.optional(),
  incidentId: uuid,
  action: limitedText(100),
  details: z.looseObject({}).nullish(),
});
