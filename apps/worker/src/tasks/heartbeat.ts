import type { Task } from '../task.ts';

/** Tells the ledger that this worker lives, for /readyz of the api. */
export function heartbeatTask(heartbeats: { beat(instance: string, role: string): Promise<void> }, instance: string): Task {
  return { name: 'heartbeat', everyMs: 5000, runsOn: 'each', run: () => heartbeats.beat(instance, 'worker') };
}
