import { Random } from '../fuzz/random.ts';
import { setTimeout as sleep } from 'node:timers/promises';
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
    const scene = await stage(site, { name: 'FAULTS', random: new Random(seed), times, body, say, note: (name, value) => { notes[name] = value; } });
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

export interface StageOptions {
  readonly name: string;
  readonly random: Random;
  readonly times: number;
  readonly body: RunOptions['body'];
  /** No wait of the row is longer, in milliseconds; absent: each is as the row says. */
  readonly holdAtMost?: number;
  readonly note?: Scene['note'];
  readonly say: (line: string) => void;
}

/** A batch under way, and a station that asks for one certificate after the other. */
export async function stage(site: Site, { name, random, times, body, holdAtMost = Infinity, note = () => undefined, say }: StageOptions): Promise<Scene> {
  const station = new Station(`${name}-STATION`, () => site.product);
  const id = await accepted(site.product, name.toLowerCase(), body.text);
  station.start();
  await midAttempt(site.product, id, 0);
  return {
    site, name, random, batch: { id, items: body.items }, more: [], station, times, note, say,
    hold: (milliseconds) => sleep(Math.min(milliseconds, holdAtMost)),
  };
}

/** Waits until every batch of the scene is done; milliseconds. */
export async function allDone({ site, batch, more }: Scene): Promise<number> {
  const began = performance.now();
  for (const { id } of [batch, ...more]) await done(site.product, id, DONE_WITHIN_MS);
  return performance.now() - began;
}
