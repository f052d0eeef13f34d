// Copies without end between two states of many objects, until it is killed: argv[2] is the folder.
import { createLogger } from '@fleetroot/telemetry';
import { Copier } from '../../apps/worker/src/copies/copier.ts';
import { DirectoryTarget } from '../../apps/worker/src/copies/directory.ts';
import type { CopyObject } from '../../apps/worker/src/copies/target.ts';

const folder = process.argv[2] ?? '';
const logger = createLogger({ role: 'victim', level: 'silent' });
const copier = new Copier(new DirectoryTarget(folder), { now: () => new Date() }, logger);
for (let round = 0; ; round++) {
  const objects = Array.from({ length: 4 }, (_, n): CopyObject => ({
    path: `truststores/${n}.pem`, contentType: 'text/plain', of: String(round), sha256: undefined, crl: undefined,
    read: async () => Buffer.from(`${round % 10}`.repeat(200_000)),
  }));
  await copier.round(objects, new AbortController().signal);
  process.stdout.write('.');
}
