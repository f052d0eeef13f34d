import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { type Product, startProduct } from '../support/product.ts';
import { measureFloor } from './floor.ts';
import { MemoryWatch } from './memory.ts';
import { beside, print, type Result } from './report.ts';
import { type EcuRequest, ecuRequests } from './requests.ts';

const WARM_UP = 1_000;

interface BatchTimes {
  readonly seconds: number;
  readonly receivedAfter: number;
}

/** `bench batch`: requests through REST to certificates committed in PostgreSQL and streamed back, beside the floor. */
export async function benchBatch(items: number, processes: number): Promise<void> {
  console.log(`making ${items} P-256 requests ...`);
  const run = Date.now().toString(36).toUpperCase();
  const requests = await ecuRequests(items + WARM_UP, run);
  const product = await startProduct({ issuers: processes });
  try {
    await issue(product, requests.slice(items), 'warm-up');
    const floorTask = {
      requests: requests.slice(0, 2_000).map(({ csr }) => Buffer.from(csr).toString('base64')),
      module: '/usr/lib/softhsm/libsofthsm2.so', tokenLabel: 'fleetroot-ca', rounds: 5,
      pinFile: join(product.dataDir, 'secrets/ca-token.pin'),
    };
    const softhsmConf = join(product.dataDir, 'softhsm/ca/softhsm2.conf');
    const before = await measureFloor(processes, floorTask, softhsmConf);
    console.log(`floor before: ${before.toFixed(0)}/s; issuing ${items} ...`);
    const memory = new MemoryWatch(product.pid);
    const { seconds, receivedAfter } = await issue(product, requests.slice(0, items), 'measured');
    const used = memory.stop();
    const after = await measureFloor(processes, floorTask, softhsmConf);
    const results: Result[] = [
      beside(`certificates, ${processes} issuers`, items / seconds, '1/s', (before + after) / 2, 0.2),
      { name: 'batch received after', value: receivedAfter, unit: 's' },
      { name: 'last certificate after', value: seconds, unit: 's' },
      ...[...used].flatMap(([role, { most, growth }]): Result[] => [
        { name: `memory of ${role}, most`, value: most, unit: 'MiB', goal: 400 },
        { name: `memory of ${role}, last quarter over second`, value: growth, unit: '' },
      ]),
    ];
    print('batch', results);
  } finally {
    await product.stop();
  }
}

/** Sends one NDJSON batch and reads every certificate back; throws unless each request got its own. */
async function issue(product: Product, requests: readonly EcuRequest[], key: string): Promise<BatchTimes> {
  const body = requests
    .map(({ ecuSerial, partNumber, csr }) => `${JSON.stringify({ ecuSerial, partNumber, csr: Buffer.from(csr).toString('base64') })}\n`)
    .join('');
  const began = performance.now();
  const accepted = await product.fetch('POST', '/v1/batches?profile=ecu-client', 'line', {
    'content-type': 'application/x-ndjson', 'idempotency-key': `${key}-${began}`,
  }, body);
  const batch = (await accepted.json()) as { id: string };
  if (accepted.status !== 202) throw new Error(`POST /v1/batches answered ${accepted.status}: ${JSON.stringify(batch)}`);
  const receivedAfter = (performance.now() - began) / 1000;
  const stream = await product.fetch('GET', `/v1/batches/${batch.id}/certificates`, 'line');
  const lines = (await stream.text()).split('\n').filter((line) => line !== '');
  const seconds = (performance.now() - began) / 1000;
  check(requests, lines);
  return { seconds, receivedAfter };
}

function check(requests: readonly EcuRequest[], lines: readonly string[]): void {
  if (lines.length !== requests.length) throw new Error(`${requests.length} requests, ${lines.length} results`);
  const serials = new Set<string>();
  for (const [i, line] of lines.entries()) {
    const item = JSON.parse(line) as { ordinal: number; outcome: string; ecuSerial: string; serial: string; certificate: string };
    if (item.outcome !== 'issued' || item.ordinal !== i || item.ecuSerial !== requests[i]?.ecuSerial) throw new Error(`item ${i}: ${line.slice(0, 200)}`);
    serials.add(item.serial);
    if (i % 500 === 0 && !new X509Certificate(Buffer.from(item.certificate, 'base64')).subject.includes(item.ecuSerial)) {
      throw new Error(`the certificate of item ${i} names another ECU`);
    }
  }
  if (serials.size !== lines.length) throw new Error('a serial number occurs twice');
}
