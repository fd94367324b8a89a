import { z } from 'zod';
import { actor, text, uuid } from './fields.ts';
import { APPROVAL_LEVELS, type ApprovalLevel, type ApprovalWorkflowStatus } from './values.ts';

/** A row of `approvals`: one level's word on one action. */
export interface Approval {
  readonly id: string;
  readonly actionId: string;
  readonly incidentId: string;
  readonly approvalLevel: ApprovalLevel;
  readonly status: ApprovalWorkflowStatus;
  readonly requestedBy: string;
  readonly requestedAt: Date;
  /** Null until it is decided or has expired. */
  readonly decidedBy: string | null;
  readonly decidedAt: Date | null;
  readonly decisionReason: string | null;
  /** From then on it cannot be approved; null: never. */
  readonly expiresAt: Date | null;
}

/** A request for approval. */
export interface NewApproval {
  readonly id?: string | undefined;
  readonly actionId: string;
  readonly approvalLevel: ApprovalLevel;
  /** Who asks; the store's actor unless it is given. */
  readonly requestedBy?: string | undefined;
  readonly expiresAt?: Date | null | undefined;
}

/** A request for several approvals of one action, one for each level. */
export interface NewApprovalChain extends Omit<NewApproval, 'id' | 'approvalLevel'> {
  readonly levels: readonly ApprovalLevel[];
}

/** What was decided, and why. */
export interface Decision {
  readonly decision: 'approved' | 'denied';
  readonly reason?: string | null | undefined;
}

const request = {
  actionId: uuid,
  requestedBy: actor.optional(),
  expiresAt: z.date().nullish(),
};

export const newApproval = z.strictObject({
  id: uuid.optional(),
  approvalLevel: z.enum(APPROVAL_LEVELS),
  ...request,
});

export const newApprovalChain = z.strictObject({ levels: z.array(z.enum(APPROVAL_LEVELS)).min(1).max(20), ...request });

export const decision = z.strictObject({
  decision: z.enum(['approved', 'denied']),
  reason: text.max(10_000).nullish(),
});
