// A process that makes keys and is killed at a named point of it: `node made-keys-victim.ts POINT`, with the database's URL, the
// ledger key and the submission as JSON on standard input.
import { readFileSync } from 'node:fs';
import { LedgerKey, Secret, systemClock } from '@fleetroot/core';
import { openStore } from '@fleetroot/store';
import { createLogger } from '@fleetroot/telemetry';
import { decodePem, parseCertificate, readBlockedKeys } from '@fleetroot/x509';
import { KeyMaking, type KeySubmission } from '../../apps/api/src/key-batches/key-making.ts';
import { Turns } from '../../apps/api/src/key-batches/turns.ts';
import { OutboxRelay } from '../../apps/api/src/outbox-relay.ts';

const given = JSON.parse(readFileSync(0, 'utf8')) as { databaseUrl: string; ledgerKey: string; submission: KeySubmission };
const point = process.argv[2];
(globalThis as Record<symbol, unknown>)[Symbol.for('fleetroot.crash-point')] = (name: string) => {
  if (name === point) process.kill(process.pid, 'SIGKILL');
};
const ledgerKey = new LedgerKey(Buffer.from(given.ledgerKey, 'hex'));
const store = await openStore({ databaseUrl: new Secret(given.databaseUrl), ledgerKey, pool: 2 });
const logger = createLogger({ role: 'victim', level: 'silent' });
const making = new KeyMaking({
  batches: store.batches, madeKeys: store.madeKeys, relay: new OutboxRelay(store.outbox, { addMany: async () => undefined }, logger), clock: systemClock,
  logger, blockedKeys: readBlockedKeys(undefined), chunkItems: 2, lifetimeMs: 60_000, closing: new AbortController().signal, turns: new Turns(1, 1), guesses: new Turns(1, 1),
  recipientOf: async (pem) => parseCertificate(decodePem(pem, 'certificate.malformed')[0]?.der ?? new Uint8Array()),
  binding: (text) => ledgerKey.blindIndex(text, 'key-batch'),
});
await making.make(given.submission);
