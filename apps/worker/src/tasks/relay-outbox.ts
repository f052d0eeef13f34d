import { type JobProducer, type Outbox, relayOutbox } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

/** Publishes the jobs that committed changes left in the outbox. */
export function relayOutboxTask(outbox: Outbox, producer: Pick<JobProducer, 'addMany'>, logger: Logger): Task {
  return {
    name: 'relay-outbox', everyMs: 1000, runsOn: 'leader',
    async run() {
      const { published, refused } = await relayOutbox(outbox, producer);
      if (published > 0) logger.debug({ published }, 'outbox relayed');
      for (const { id, job } of refused) logger.error({ row: String(id), job }, 'an outbox row was no job of the catalogue, and was removed');
    },
  };
}
