import type { Random } from '../fuzz/random.ts';
import { accepted, ask, lines, pidsOf, submit } from '../support/faults.ts';
import { until } from '../support/product.ts';
import type { Backend, Site, SiteOptions } from './site.ts';
import type { Station } from './station.ts';

/** What a fault happens to: a site with a batch under way. */
export interface Scene {
  readonly site: Site;
  /** In the names of its batches and ECUs: several scenes may follow each other on a site. */
  readonly name: string;
  readonly random: Random;
  /** The batch in the middle of which it happens, and how many items it has. */
  readonly batch: { readonly id: string; readonly items: number };
  /** Others, which the fault submits itself: they are waited for and judged as the first is. */
  readonly more: { readonly id: string; readonly items: number }[];
  readonly station: Station;
  /** How often it happens. */
  readonly times: number;
  /** Waits for what the long form says, or less in the short form, in milliseconds. */
  hold(milliseconds: number): Promise<void>;
  /** A figure for the table. */
  note(name: string, value: string): void;
  say(line: string): void;
}

/** A row of the table of faults. */
export interface Row {
  readonly id: string;
  readonly title: string;
  /** How often in the long form. */
  readonly times: number;
  /** Absent: both. */
  readonly backend?: Backend;
  /** What of the site is not as usual. */
  readonly site?: Partial<SiteOptions>;
  /** From the last restart to the batch done, in seconds: the figure to reach. */
  readonly withinSeconds?: number;
  /** Why it cannot be run on this machine. */
  readonly missing?: () => string | undefined;
  /** Lets it happen; resolves when the last one is over, and everything that was taken away is back or on its way. */
  readonly happen: (scene: Scene) => Promise<void>;
}

/** How many items of the batch are issued. */
export async function issued({ site, batch }: Scene): Promise<{ issued: number; done: boolean }> {
  const [row] = await ask<{ issued: number; done: boolean }>(site.product,
    `SELECT coalesce(sum(issued), 0)::int AS issued, bool_and(state = 'done') AS done FROM chunk WHERE batch_id = $1`, [batch.id]);
  return { issued: row?.issued ?? 0, done: row?.done ?? false };
}

/**
 * Runs `strike` so often at random moments of the batch: each when so many items more are issued, as far as the batch
 * goes; a batch that is done before is followed by another.
 */
export async function inTheMiddle(scene: Scene, strike: (i: number) => Promise<void>): Promise<void> {
  const { random, times, batch } = scene;
  const moments = Array.from({ length: times }, () => random.below(Math.floor(batch.items * 0.9))).sort((a, b) => a - b);
  for (const [i, moment] of moments.entries()) {
    await until(async () => {
      const at = await issued(scene).catch(() => undefined);
      return at !== undefined && (at.done || at.issued >= moment);
    }, 180_000, () => `the batch did not come to ${moment} items\n${scene.site.notices().slice(-4000)}`);
    if ((await issued(scene)).done) await another(scene);
    scene.say(`${i + 1} of ${times}, at ${moment} items`);
    await strike(i);
  }
}

/** Submits another batch, so that there is work, and waits until it is being issued. */
export async function another(scene: Scene, items = 1000): Promise<void> {
  const name = `${scene.name}-MORE-${scene.more.length}`;
  scene.say(`${name}: ${items} items more`);
  scene.more.push({ id: await accepted(scene.site.product, name.toLowerCase(), await lines(name, items)), items });
}

/** Submits a small batch by a sender who does not give up. */
export async function persistently(scene: Scene, which: string, items: number): Promise<void> {
  const name = `${scene.name}-${which}`;
  const body = await lines(name, items);
  let id: string | undefined;
  let last: unknown = 'nobody answered';
  await until(async () => {
    const response = await submit(scene.site.product, name.toLowerCase(), body).catch((error: unknown) => void (last = error));
    if (response === undefined) return false;
    const said = (await response.json().catch(() => ({}))) as { id?: string };
    last = `${response.status} ${JSON.stringify(said)}`;
    if (response.status === 202 || response.status === 200) id = said.id;
    return id !== undefined;
  }, 180_000, () => `the batch ${name} was not accepted: ${String(last)}`);
  scene.more.push({ id: id ?? '', items });
}

/** A process of the part at random; it is waited for where there is none. */
export async function anyOf({ site, random }: Scene, part: 'api' | 'issuer' | 'worker' | 'hsm'): Promise<number> {
  let pids: number[] = [];
  await until(async () => (pids = pidsOf(site.product, part)).length > 0, 90_000, () => `there is no process of ${part}\n${site.notices().slice(-4000)}`);
  return random.pick(pids);
}
