// How soon a revocation is seen, and what it costs, with few and with many revoked.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { crlShard } from '@fleetroot/authority';
import { LATE_COMMIT_MS } from '@fleetroot/core';
import { der } from '@fleetroot/x509';
import { showing } from './bar.ts';
import { copyIn, encodeRow } from './copy-in.ts';
import { cpuUse, installationSeconds, takeSnapshot } from './cpu-accounting.ts';
import { databaseUrl, installationOf, settle } from './installation.ts';
import { type Issued, isRevoked, pathOf, revoke, serialOctets, SHARDS, type Site } from './ocsp-site.ts';
import { percentile, type Result } from './report.ts';
import { type RevocationCost, sameCost } from './revocation-cost.ts';

/** Certificates whose answer is watched, whose delta is watched, and that are revoked one after the other. */
const WATCHED = 20;
const IN_DELTAS = 5;
const IN_A_ROW = 200;
const FEW = 1_000;
const OCSP_GOAL_MS = 1_000;
const DELTA_GOAL_MS = 10_000;
const PATIENCE_MS = 180_000;

/** Of the site: those with few and those with many revoked; of each, three that are revoked when the ledger has been filled. */
export const VISIBLE_CERTIFICATES = 2 * (3 + WATCHED + IN_DELTAS + IN_A_ROW);

/** Takes the last certificates of the site. `revoked` entries are in its ledger at the end, beside the site's own. */
export async function visible(site: Site, revoked: number): Promise<Result[]> {
  const certificates = site.issued.slice(-VISIBLE_CERTIFICATES);
  const few = Math.min(FEW, Math.ceil(revoked / 10));
  const half = VISIBLE_CERTIFICATES / 2;
  const before = await figures(site, few, certificates.slice(0, half));
  const after = await figures(site, revoked - few, certificates.slice(half));
  return [...rows(`with ${few} revoked`, before), ...rows(`with ${revoked} revoked`, after), ...sameCost(before, after, few, revoked)];
}

interface Figures extends RevocationCost {
  /** Milliseconds, ascending: from the answer to OCSP, and to the served delta. */
  readonly inOcsp: readonly number[];
  readonly inDelta: readonly number[];
  /** The same while the full CRL of the whole CA is published, since a key was compromised. */
  readonly inDeltaBesideFull: number;
}

/** With so many more revoked. */
async function figures(site: Site, more: number, [compromised, beside, last, ...certificates]: readonly Issued[]): Promise<Figures> {
  const inDeltaBesideFull = await putRevoked(site, more, { compromised: compromised!, beside: beside!, last: last! });
  const inOcsp: number[] = [];
  for (const one of certificates.slice(0, WATCHED)) {
    const path = pathOf(site, one);
    if (await isRevoked(site, path, one)) throw new Error(`${one.serial} is revoked already`);
    await revoke(site, one);
    inOcsp.push(await timeUntil(() => isRevoked(site, path, one), 2, `OCSP does not say that ${one.serial} is revoked`));
  }
  const inDelta: number[] = [];
  for (const [i, one] of certificates.slice(WATCHED, WATCHED + IN_DELTAS).entries()) {
    // A publisher that has just published waits: they come at different moments of its turn.
    await sleep(1_500 + (i * 1_000) / IN_DELTAS);
    inDelta.push(await timeToDelta(site, one));
  }
  await settle();
  const installation = await installationOf(site.product);
  const answered: number[] = [];
  const rest = certificates.slice(WATCHED + IN_DELTAS);
  const before = takeSnapshot(installation);
  for (const one of rest) {
    const asked = performance.now();
    await revoke(site, one);
    answered.push(performance.now() - asked);
  }
  const components = new Map(cpuUse(before, takeSnapshot(installation), 1).components);
  components.delete('client');
  const processor = installationSeconds({ components, seconds: 0, others: 0, idle: 0 }) / rest.length;
  const ascending = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
  return { answered: ascending(answered), inOcsp: ascending(inOcsp), inDelta: ascending(inDelta), inDeltaBesideFull, processor };
}

/** Milliseconds until it holds, looked at every so many. */
async function timeUntil(holds: () => Promise<boolean>, everyMs: number, otherwise: string): Promise<number> {
  const began = performance.now();
  while (!await holds()) {
    if (performance.now() - began > PATIENCE_MS) throw new Error(otherwise);
    await sleep(everyMs);
  }
  return performance.now() - began;
}

/** Milliseconds from the answer to its revocation to the served delta that names it. */
async function timeToDelta(site: Site, one: Issued): Promise<number> {
  await revoke(site, one);
  return timeUntil(() => isInDelta(site, one), 20, `the delta of its shard does not name ${one.serial}`);
}

/** The delta that belongs to the CRL which the certificate points to, as it is served. */
async function isInDelta({ product }: Site, one: Issued): Promise<boolean> {
  const octets = serialOctets(one);
  const answer = await fetch(`${product.status}/crl/ecu-issuing/${SHARDS}/${crlShard(octets, SHARDS)}.delta.crl`);
  if (!answer.ok) throw new Error(`the delta of a shard answered ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer()).includes(der.integer(octets));
}

function rows(when: string, { answered, inOcsp, inDelta, inDeltaBesideFull, processor }: Figures): Result[] {
  const of = (what: string, sorted: readonly number[], p: number, goal?: number): Result =>
    ({ name: `a revocation, ${when}: ${what}`, value: percentile(sorted, p), unit: 'ms', ...(goal === undefined ? {} : { goal }) });
  return [
    of('answered after, median', answered, 50),
    { name: `a revocation, ${when}: processor, all parts`, value: processor * 1000, unit: 'ms' },
    of('in OCSP after its answer, median', inOcsp, 50), of('in OCSP after its answer, longest', inOcsp, 100, OCSP_GOAL_MS),
    of('in its delta after its answer, median', inDelta, 50), of('in its delta after its answer, longest', inDelta, 100, DELTA_GOAL_MS),
    of('in its delta, right after a compromised key', [inDeltaBesideFull], 100, DELTA_GOAL_MS),
  ];
}

const COLUMNS = {
  ca_id: 'int4', serial: 'bytea', reason: 'int4', revoked_at: 'timestamptz', not_after: 'timestamptz', principal_id: 'int4', shards: 'int4', shard: 'int4',
  changed_at: 'timestamptz',
} as const;

/**
 * Entries of certificates that nobody has, revoked an hour ago. They come into full CRLs as anybody may bring it about: a
 * compromised key makes its CA publish them at once, and again at the first change after the overlap, by `last`. Returns when
 * that is done; `beside` is revoked right after the compromised one: milliseconds until its delta names it.
 */
async function putRevoked(site: Site, count: number, { compromised, beside, last }: Readonly<Record<'compromised' | 'beside' | 'last', Issued>>): Promise<number> {
  const client = new Client({ connectionString: databaseUrl(site.product) });
  await client.connect();
  try {
    const { rows: [ground] } = await client.query<{ ca: number; principal: number }>("SELECT (SELECT id FROM ca WHERE name = 'ecu-issuing') AS ca, (SELECT min(id) FROM principal) AS principal");
    await showing(count, 'revocations put into the ledger', (onDone) => copyIn(client, 'revocation', COLUMNS, revokedRows(ground!, count, onDone)));
    await client.query('VACUUM ANALYZE revocation');
    await client.query('CHECKPOINT').catch(() => undefined);
    await revoke(site, compromised, 'keyCompromise');
    const { rows: [{ now } = { now: new Date() }] } = await client.query<{ now: Date }>('SELECT clock_timestamp() AS now');
    return await showing(1, 'full CRLs published', async (onDone) => {
      const took = await timeToDelta(site, beside);
      const settled = new Date(now.getTime() + LATE_COMMIT_MS);
      await sleep(LATE_COMMIT_MS + 1_000);
      await revoke(site, last);
      await timeUntil(async () => {
        const { rows } = await client.query(
          `SELECT FROM crl WHERE ca_id = $1 AND scope = 'all' AND kind = 'full' AND published_at IS NOT NULL AND entries >= $2 AND this_update > $3`, [ground!.ca, count, settled]);
        return rows.length > 0;
      }, 200, `no full CRL with ${count} more entries was published`);
      onDone(1);
      return took;
    });
  } finally {
    await client.end();
    // What is served follows what is published, and the database rests.
    await sleep(3_000);
  }
}

function* revokedRows({ ca, principal }: { ca: number; principal: number }, count: number, onDone: (more: number) => void): Generator<Buffer> {
  const hourAgo = new Date(Date.now() - 3_600_000);
  const serial = Buffer.alloc(18, 0x41);
  const row = encodeRow(COLUMNS, [ca, serial, 4, hourAgo, new Date(Date.now() + 300 * 86_400_000), principal, SHARDS, 0, hourAgo]);
  const place = row.octets.subarray(row.at['serial']!, row.at['serial']! + serial.length);
  for (let i = 0; i < count; i++) {
    randomBytes(16).copy(place, 2);
    row.octets.writeInt32BE(crlShard(place, SHARDS), row.at['shard']!);
    yield row.octets;
    if (i % 10_000 === 9_999) onDone(10_000);
  }
  onDone(count % 10_000);
}
