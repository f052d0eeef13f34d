// A process that works on large revocations and says each page on standard output, until it is killed: `node
// revocation-victim.ts`, with the database's URL and the ledger key as JSON on standard input.
import { readFileSync } from 'node:fs';
import { LedgerKey, Secret, systemClock } from '@fleetroot/core';
import { openStore } from '@fleetroot/store';
import { createLogger } from '@fleetroot/telemetry';
import { revocationsTask } from '../../apps/worker/src/tasks/revocations.ts';

const given = JSON.parse(readFileSync(0, 'utf8')) as { databaseUrl: string; ledgerKey: string };
const store = await openStore({ databaseUrl: new Secret(given.databaseUrl), ledgerKey: new LedgerKey(Buffer.from(given.ledgerKey, 'hex')), pool: 2 });
const jobs = {
  running: (limit: number) => store.revocationJobs.running(limit),
  runPage: async (id: string, now: Date) => {
    const done = await store.revocationJobs.runPage(id, now);
    process.stdout.write('page\n');
    return done;
  },
};
await revocationsTask(jobs, systemClock, createLogger({ role: 'victim', level: 'silent' })).run(new AbortController().signal);
await store.close();
