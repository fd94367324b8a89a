import type { Severity, Store } from '@triage-warden/db';
import type { Alert } from './alerts.ts';
import { Queue } from './queue.ts';

/** An incident on its way through the stages. */
export interface OpenIncident {
  readonly id: string;
  readonly alert: Alert;
  readonly severity: Severity;
  /** Its actions that are neither executed, failed nor denied yet. */
  openActions: number;
  /** Where it ends, once no action is open. */
  outcome: 'resolved' | 'escalated' | 'closed';
}

/** What waits for a person: an incident to be looked at, or its response, to be approved at each level in turn. */
export interface Decision {
  readonly incident: OpenIncident;
  readonly approvalIds?: readonly string[];
}

/** What the workers of all stages share. */
export interface Floor {
  readonly store: Store;
  /** Every incident of this run has it: the database may hold others. */
  readonly tag: string;
  readonly arrived: Queue<Alert>;
  readonly toAnalyse: Queue<OpenIncident>;
  /** The executors have no queue: what they may do, they claim from the database. */
  readonly toDecide: Queue<Decision>;
  readonly record: RunRecord;
}

/** What happened, as the workers saw it: the proof holds it against what the database says. */
export interface RunRecord {
  readonly total: number;
  readonly incidents: OpenIncident[];
  /** The incident of each action. */
  readonly actions: Map<string, OpenIncident>;
  /** How often each action was carried out. */
  readonly executions: Map<string, number>;
  analysed: number;
  finished: number;
  /** The actions whose first worker fell asleep. */
  readonly stalled: Set<string>;
  /** Workers that slept beyond their lease and were refused when they woke up. */
  refusedLeases: number;
}

/** `slots`: how much waits between two stages, at most; so that all of them are at work together. */
export function openFloor(store: Store, tag: string, total: number, slots: number): Floor {
  return {
    store,
    tag,
    arrived: new Queue(slots),
    toAnalyse: new Queue(slots),
    toDecide: new Queue(slots),
    record: {
      total,
      incidents: [],
      actions: new Map(),
      executions: new Map(),
      stalled: new Set(),
      analysed: 0,
      finished: 0,
      refusedLeases: 0,
    },
  };
}

/** Whether every incident has come to its end. */
export const isOver = ({ record }: Floor): boolean => record.finished === record.total;
