import { Random } from '../fuzz/random.ts';
import { accepted, done, midAttempt } from '../support/faults.ts';
import { judge } from './judge.ts';
import type { Row, Scene } from './row.ts';
import { type Backend, Site } from './site.ts';
import { Station } from './station.ts';

export interface RowResult {
  readonly row: string;
  readonly title: string;
  readonly backend: Backend;
  readonly times: number;
  /** From the last restart to the last batch done. */
  readonly secondsToDone: number | undefined;
  readonly withinSeconds: number | undefined;
  readonly burned: number;
  readonly signatures: number;
  /** Certificates that a station was told of meanwhile, one at a time. */
  readonly acknowledged: number;
  readonly fsck: string;
  readonly notes: Readonly<Record<string, string>>;
  readonly breaches: readonly string[];
  readonly verdict: 'holds' | 'late' | 'broken' | 'not run here';
}

export interface RunOptions {
  readonly backend: Backend;
  readonly seed: number;
  readonly times: number;
  readonly body: { readonly text: string; readonly items: number };
  readonly say: (line: string) => void;
}

const DONE_WITHIN_MS = 300_000;

/** One row on one backend, on an installation of its own. Never throws: what goes wrong is the row's result. */
export async function runRow(row: Row, { backend, seed, times, body, say }: RunOptions): Promise<RowResult> {
  const notes: Record<string, string> = {};
  const told = (rest: Partial<RowResult> & Pick<RowResult, 'verdict'>): RowResult => ({
    row: row.id, title: row.title, backend, times, secondsToDone: undefined, withinSeconds: row.withinSeconds, burned: 0, signatures: 0,
    acknowledged: 0, fsck: 'not there', breaches: [], notes, ...rest,
  });
  const missing = row.missing?.();
  if (missing !== undefined) return told({ verdict: 'not run here', notes: { why: missing } });
  let site: Site | undefined;
  try {
    site = await Site.open({ issuers: 2, ...row.site, backend });
    const scene = await begin(site, new Random(seed), body, times, notes, say);
    await row.happen(scene);
    const secondsToDone = (await allDone(scene)) / 1000;
    say(`done ${secondsToDone.toFixed(1)} s after the last restart`);
    const { station } = scene;
    const { breaches, burned, signatures, fsck } = await judge(site, [scene.batch, ...scene.more], station);
    const late = row.withinSeconds !== undefined && secondsToDone > row.withinSeconds;
    return told({ secondsToDone, burned, signatures, fsck, breaches, acknowledged: station.acknowledged, verdict: breaches.length > 0 ? 'broken' : late ? 'late' : 'holds' });
  } catch (error) {
    return told({ breaches: [error instanceof Error ? error.message : String(error)], verdict: 'broken' });
  } finally {
    await site?.close().catch((error: unknown) => say(`could not be cleaned up: ${String(error)}`));
  }
}

async function begin(
  site: Site, random: Random, body: RunOptions['body'], times: number, notes: Record<string, string>, say: (line: string) => void,
): Promise<Scene> {
  const station = new Station('STATION', () => site.product);
  const id = await accepted(site.product, 'faults', body.text);
  station.start();
  await midAttempt(site.product, id, 0);
  return { site, random, batch: { id, items: body.items }, more: [], station, times, note: (name, value) => { notes[name] = value; }, say };
}

/** Waits until every batch of the scene is done; milliseconds. */
export async function allDone({ site, batch, more }: Scene): Promise<number> {
  const began = performance.now();
  for (const { id } of [batch, ...more]) await done(site.product, id, DONE_WITHIN_MS);
  return performance.now() - began;
}
