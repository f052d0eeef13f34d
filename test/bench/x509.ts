import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { compileLint, fixedKeyVerifier, lintCertificate, parseRequest, verifyPossession } from '@fleetroot/x509';
import { type EcuIssuance, ecuIssuance } from './ecu-issuance.ts';
import { peculiarRates } from './peculiar.ts';
import { writeLongCrl } from './long-crl.ts';
import type { Scratch } from './scratch.ts';
import { processorSeconds } from './processor-time.ts';
import { beside, print, type Result } from './report.ts';
import { type EcuRequest, ecuRequests, rawVerification } from './requests.ts';

const REQUESTS = 2_000;
const ROUNDS = 20;
/** Requests a round. */
const PART = 500;
/** As in issuance: one certificate in so many is linted in full. */
const SAMPLE = 64;
/** Octets of a TBS of `ecu-client`, about. */
const TBS_OCTETS = 450;

/**
 * `bench x509`: the hot paths of the library in one process, beside raw operations measured in the same run. Rates are
 * those of processor time, all threads of the process together: a busy machine stretches it less than the clock's.
 */
export async function benchX509(scratch: Scratch, entries: number): Promise<void> {
  // First, while the process is idle: its memory is compared with that.
  const crl = await writeLongCrl(scratch, entries);
  console.log(`making ${REQUESTS} P-256 requests ...`);
  const requests = await ecuRequests(REQUESTS, 'X');
  const ecu = ecuIssuance();
  const rounds = Array.from({ length: 9 }, () => buildAndLint(ecu, requests));
  const built = median(rounds.map(({ perSecond }) => perSecond));
  const library = await peculiarRates(ecu.issuer.spkiDer, parseRequest(requests[0]!.csr).spkiDer);
  const raw = requests.map(({ csr }) => rawVerification(csr));
  const possession: number[] = [];
  const floor: number[] = [];
  const measures = [
    (round: number) => floor.push(rate(part(raw, round), ({ spki, info, signature }) => {
      const key = createPublicKey({ key: spki as Buffer, format: 'der', type: 'spki' });
      if (!verify('sha256', info, key, signature)) throw new Error('a request does not verify');
    })),
    (round: number) => possession.push(rate(part(requests, round), ({ csr }) => verifyPossession(parseRequest(csr)))),
  ];
  // By turns and in turned order, so that a slow moment of the machine hits both alike.
  for (let round = 0; round < ROUNDS; round++) {
    for (const measure of measures) measure(round);
    measures.reverse();
  }
  const oneKey = verificationByOneKey();
  const results: Result[] = [
    { name: 'TBS built and linted, by the clock', value: median(rounds.map(({ micros }) => micros)), unit: 'us', goal: 25 },
    { name: 'the same, processor time of all threads', value: 1e6 / built, unit: 'us' },
    beside('TBS built and linted, beside @peculiar/x509', built, '1/s', library.certificates, 100),
    beside('the same, without the library\'s signature', built, '1/s', library.unsigned),
    beside('P-256 request: parsed, possession proven', median(possession), '1/s', median(floor), 0.8),
    beside('signatures by one known key verified, beside OpenSSL', oneKey.byTables, '1/s', oneKey.byOpenSsl, 2),
    { name: 'the tables of such a key made and checked', value: oneKey.tablesMs, unit: 'ms' },
    { name: `CRL of ${entries} entries written`, value: crl.seconds, unit: 's', goal: 3 },
    { name: 'its processor time', value: crl.processorSeconds, unit: 's' },
    { name: 'its size', value: crl.octets / 1e6, unit: 'MB' },
    { name: 'memory over idle, most', value: crl.memory / 1e6, unit: 'MB', goal: 100 },
  ];
  print('x509', results);
}

/** As issuance does it, by slices; rates of processor time. The tables are the second ones of the process. */
function verificationByOneKey(): { readonly byTables: number; readonly byOpenSsl: number; readonly tablesMs: number } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const items = Array.from({ length: REQUESTS }, () => {
    const message = randomBytes(TBS_OCTETS);
    return { message, signature: sign('sha256', message, privateKey) };
  });
  const first = fixedKeyVerifier(publicKey, 'ecdsa-sha256');
  while (first.prepareSome());
  const verifier = fixedKeyVerifier(publicKey, 'ecdsa-sha256');
  const before = process.cpuUsage();
  while (verifier.prepareSome());
  const tablesMs = processorSeconds(before) * 1000;
  const slices = Array.from({ length: Math.ceil(items.length / verifier.atOnce) }, (_, i) => items.slice(i * verifier.atOnce, (i + 1) * verifier.atOnce));
  const byTables: number[] = [];
  const byOpenSsl: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    byTables.push((items.length / slices.length) * rate(slices, (slice) => {
      if (verifier.verifyMany(slice).includes(false)) throw new Error('a signature does not verify');
    }));
    byOpenSsl.push(rate(part(items, round), ({ message, signature }) => {
      if (!verify('sha256', message, publicKey, signature)) throw new Error('a signature does not verify');
    }));
  }
  return { byTables: median(byTables), byOpenSsl: median(byOpenSsl), tablesMs };
}

function buildAndLint({ compiled, issuer, serial, signedAt }: EcuIssuance, requests: readonly EcuRequest[]): { readonly micros: number; readonly perSecond: number } {
  const context = { issuer, kind: compiled.profile.kind, maxOctets: compiled.profile.sizeBudget };
  const lint = compileLint(context);
  const parsed = requests.map(({ csr, ecuSerial, partNumber }) => ({ request: parseRequest(csr), facts: { ecuSerial, partNumber } }));
  let count = 0;
  const items = Array.from({ length: 10 }, () => parsed).flat();
  const began = performance.now();
  const perSecond = rate(items, ({ request, facts }) => {
    const { tbs } = compiled.prepare(facts as Parameters<typeof compiled.prepare>[0], request, serial(), signedAt);
    const findings = count++ % SAMPLE === 0 ? lintCertificate(tbs, context) : lint(tbs);
    if (findings.length > 0) throw new Error(`the lint found ${findings[0]!.rule}`);
  });
  return { micros: ((performance.now() - began) * 1000) / items.length, perSecond };
}

/** Of all items, one a call: a second of processor time. */
function rate<T>(items: readonly T[], run: (item: T) => void): number {
  const before = process.cpuUsage();
  for (const item of items) run(item);
  return items.length / processorSeconds(before);
}

const part = <T>(items: readonly T[], round: number): readonly T[] => {
  const from = (round * PART) % items.length;
  return items.slice(from, from + PART);
};

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
