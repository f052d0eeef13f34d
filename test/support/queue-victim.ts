// A process that takes one chunk and never finishes it: `node queue-victim.ts KIND LOCK_MS`, the URL on standard input.
// It says `taken` once it holds the job. The test kills it.
import { readFileSync } from 'node:fs';
import { Secret } from '@fleetroot/core';
import { JobRunner, type QueueOptions } from '@fleetroot/queue';

const url = new Secret(readFileSync(0, 'utf8').trim());
const options: QueueOptions = process.argv[2] === 'redis' ? { kind: 'redis', url } : { kind: 'postgres', databaseUrl: url };
const forever = new Promise<void>(() => undefined);
const runner = new JobRunner(options, 'issuer', {
  'issue-chunk': () => {
    process.stdout.write('taken\n');
    return forever;
  },
  'renew-chunk': () => forever,
  'publish-crl': () => forever,
  'publish-filter': () => forever,
}, { concurrency: 1, lockMs: Number(process.argv[3]) });
await runner.start();
