import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ask, progress } from '../support/faults.ts';
import { recordedCalls, recordedSelfTests, recordedSignatures } from '../support/hsm-record.ts';
import { invariants, signaturesOnRecord } from '../support/invariants.ts';
import type { Site } from './site.ts';
import type { Station } from './station.ts';

export interface Verdict {
  readonly breaches: readonly string[];
  /** Serials that were given up because a signature by them may exist. */
  readonly burned: number;
  /** Signatures that the HSM made, as it was recorded. */
  readonly signatures: number;
  readonly fsck: 'found nothing' | 'found breaches' | 'not there';
}

/** How long a serial that was burned may take to be on the published CRL, in milliseconds. */
const CRL_WITHIN_MS = 90_000;

/** Everything that must hold once the batches are done: what the ledger, the HSM's record, the station and `fsck` tell. */
export async function judge(site: Site, batches: readonly { readonly id: string; readonly items: number }[], station?: Station): Promise<Verdict> {
  const { product } = site;
  const breaches: string[] = [...(await station?.settle()) ?? []];
  for (const { id, items } of batches) breaches.push(...(await batchHolds(site, id, items)));
  breaches.push(...(await nothingTwice(site)));
  breaches.push(...(await invariants(product, { crlWithinMs: CRL_WITHIN_MS })));
  // Each process that logs in tries each of the CA keys by one signature before it takes work.
  const signed = recordedSignatures(site.record);
  const selfTests = recordedSelfTests(site.record);
  for (const input of selfTests) if (signed.get(input) === 1) signed.delete(input);
  const [keys] = await ask<{ count: number }>(product, 'SELECT count(*)::int AS count FROM ca WHERE key_id IS NOT NULL');
  const others = recordedCalls(site.record, 'C_Login') * Math.max(0, (keys?.count ?? 1) - 1);
  breaches.push(...(await signaturesOnRecord(product, signed, others)).map((breach) => `HSM: ${breach}`));
  const fsck = await runFsck(site);
  breaches.push(...fsck.breaches);
  const [burned] = await ask<{ count: number }>(product, 'SELECT count(*)::int AS count FROM burned_serial');
  return { breaches, burned: burned?.count ?? 0, signatures: [...signed.values()].reduce((a, b) => a + b, 0), fsck: fsck.said };
}

/** As many certificates as ECUs, and none of them twice. */
export async function batchHolds({ product }: Site, id: string, items: number): Promise<string[]> {
  const breaches: string[] = [];
  const stands = await progress(product, id);
  if (stands?.state !== 'done' || stands.issued !== items) breaches.push(`batch ${id} stands at ${JSON.stringify(stands)} and should be done, with ${items} issued`);
  const [counts] = await ask<Record<'certificates' | 'ecus' | 'keys' | 'serials', number>>(product,
    `SELECT count(*)::int AS certificates, count(DISTINCT c.ecu_serial)::int AS ecus, count(DISTINCT c.spki_sha256)::int AS keys,
            count(DISTINCT c.serial)::int AS serials FROM certificate c JOIN chunk ON chunk.id = c.chunk_id WHERE chunk.batch_id = $1`, [id]);
  for (const [what, count] of Object.entries(counts ?? {})) if (count !== items) breaches.push(`batch ${id}: ${count} ${what}, and ${items} items`);
  return breaches;
}

async function nothingTwice({ product }: Site): Promise<string[]> {
  const twice = await ask<object>(product,
    `SELECT ecu_serial, encode(spki_sha256, 'hex') AS key, count(*)::int FROM certificate WHERE ecu_serial IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1`);
  return twice.slice(0, 5).map((row) => `certified twice: ${JSON.stringify(row)}`);
}

interface Inspection { readonly breaches: readonly { readonly invariant: string; readonly check: string; readonly subject: string; readonly detail: string }[]; readonly more: number }

const CLI = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url));

async function runFsck(site: Site): Promise<{ said: Verdict['fsck']; breaches: string[] }> {
  const help = await run(['--help']);
  if (!/^ *fsck\b/m.test(help.stdout)) return { said: 'not there', breaches: [] };
  const { status, stdout, stderr } = await run(
    ['fsck', '--json', '--full', '--data-dir', site.dataDir, '--status-url', site.product.status, '--hsm-record', site.record]);
  if (status === 0) return { said: 'found nothing', breaches: [] };
  if (status !== 1) return { said: 'found breaches', breaches: [`fsck ended with ${status}: ${stderr.slice(-500)}`] };
  const { breaches, more } = JSON.parse(stdout) as Inspection;
  return {
    said: 'found breaches',
    breaches: [...breaches.map(({ invariant, check, subject, detail }) => `fsck ${invariant} ${check}: ${subject}: ${detail}`), ...(more > 0 ? [`fsck: ${more} more`] : [])],
  };
}

const run = (args: readonly string[]): Promise<{ status: number; stdout: string; stderr: string }> => new Promise((resolve) => {
  execFile(process.execPath, [CLI, ...args], { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
    resolve({ status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
  });
});
