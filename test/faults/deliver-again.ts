import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '@fleetroot/core';
import { JobProducer } from '@fleetroot/queue';
import { ask } from '../support/faults.ts';
import type { Site } from './site.ts';

/** Adds each chunk's job of the batch so many times more, as if the queue delivered it again; done ones too. */
export async function deliverAgain(site: Site, batchId: string, times: number): Promise<void> {
  const chunks = await ask<{ id: string }>(site.product, 'SELECT id FROM chunk WHERE batch_id = $1', [batchId]);
  const producer = new JobProducer(site.options.backend === 'redis'
    ? { kind: 'redis', url: site.redis.url }
    : { kind: 'postgres', databaseUrl: new Secret(readFileSync(join(site.dataDir, 'secrets/database-url'), 'utf8').trim()) });
  try {
    for (let time = 0; time < times; time++) {
      await producer.addMany(chunks.map(({ id }) => ({ name: 'issue-chunk', payload: { chunkId: id }, priority: 10, jobId: `again-${time}-${id}` })));
    }
  } finally {
    await producer.close();
  }
}
