import { randomUUID } from 'node:crypto';
import type { Store } from '@triage-warden/db';
import type { Alert } from './alerts.ts';
import { analyse, ingest } from './analysts.ts';
import { decide } from './approvers.ts';
import { execute } from './executors.ts';
import { type Floor, openFloor } from './floor.ts';
import type { Queue } from './queue.ts';

/** Takes every alert from its arrival to the end of its incident: four stages, all at work at once, each with `workers`. */
export async function triage(
  store: Store,
  alerts: readonly Alert[],
  workers: number,
  onChange: (floor: Floor) => void,
): Promise<Floor> {
  const floor = openFloor(store, `demo-${randomUUID()}`, alerts.length, workers * 2);
  const { arrived, toAnalyse, toDecide } = floor;
  const changed = () => onChange(floor);
  await Promise.all([
    arrive(arrived, alerts),
    crew(workers, () => workThrough(arrived, (alert) => ingest(floor, alert), changed)).then(() => toAnalyse.close()),
    crew(workers, () => workThrough(toAnalyse, (incident) => analyse(floor, incident), changed)).then(() =>
      toDecide.close(),
    ),
    crew(workers, () => workThrough(toDecide, (decision) => decide(floor, decision), changed)),
    crew(workers, (worker) => execute(floor, worker, changed)),
  ]);
  return floor;
}

const crew = (size: number, work: (worker: number) => Promise<void>) =>
  Promise.all(Array.from({ length: size }, (_, worker) => work(worker)));

async function workThrough<T>(queue: Queue<T>, work: (item: T) => Promise<void>, done: () => void): Promise<void> {
  for await (const item of queue) {
    await work(item);
    done();
  }
}

async function arrive(arrived: Queue<Alert>, alerts: readonly Alert[]): Promise<void> {
  for (const alert of alerts) await arrived.push(alert);
  arrived.close();
}
