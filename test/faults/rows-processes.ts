import { setTimeout as sleep } from 'node:timers/promises';
import { type CrashPoint, crashPoints } from '@fleetroot/core';
import { ask, freezeIssuerMidAttempt, midAttempt } from '../support/faults.ts';
import { until } from '../support/product.ts';
import { another, anyOf, inTheMiddle, issued, persistently, type Row, type Scene } from './row.ts';

/** `up` starts what dies again after a delay that doubles: a new `up` begins anew with it. */
const DEATHS_BEFORE_RESTART = 4;

/** The point is reached by issuing, by publishing a CRL, a copy of it or a filter, or by sending a batch. */
async function provoke(scene: Scene, point: CrashPoint, i: number): Promise<void> {
  if (point.startsWith('issuance.')) {
    if ((await issued(scene)).done) await another(scene);
  } else if (point.startsWith('crl.') || point.startsWith('copy.')) {
    // A certificate that is not wanted any more: of a batch of its own, so that the count of the others stands.
    const [row] = await ask<{ serial: string }>(scene.site.product,
      `SELECT encode(c.serial, 'hex') AS serial FROM certificate c WHERE c.ecu_serial IS NOT NULL
         AND NOT EXISTS (SELECT FROM revocation r WHERE r.ca_id = c.ca_id AND r.serial = c.serial) LIMIT 1`);
    if (row !== undefined) await scene.site.product.json('POST', `/v1/certificates/${row.serial}/revocation`, 'security', { reason: 'superseded' });
  } else if (point.startsWith('filter.')) {
    await ask(scene.site.product, `INSERT INTO outbox (job, payload, priority) SELECT 'publish-filter', json_build_object('caId', id), 1 FROM ca WHERE name = 'ecu-issuing' RETURNING id`);
  } else {
    await persistently(scene, `${point.replace('.', '-').toUpperCase()}-${i}`, 250);
  }
}

const crash = (point: CrashPoint): Row => ({
  id: `crash:${point}`, title: `a process dies at ${point}`, times: 20, withinSeconds: 45, site: { issuers: 4 },
  async happen(scene) {
    const { site, random, times } = scene;
    const issuing = point.startsWith('issuance.');
    for (let i = 0; i < times; i++) {
      if (!issuing && i > 0 && i % DEATHS_BEFORE_RESTART === 0) await site.restart();
      const fired = site.orders.crash(point, 1 + random.below(issuing ? 4 : 2));
      for (let tries = 0; !fired(); tries++) {
        await provoke(scene, point, i * 1000 + tries);
        for (const deadline = Date.now() + 5000; !fired() && Date.now() < deadline;) await sleep(20);
        if (tries > 40) throw new Error(`nobody came to ${point}\n${site.notices().slice(-4000)}`);
      }
      scene.say(`${i + 1} of ${times}`);
    }
  },
});

export const processRows: readonly Row[] = [
  {
    id: 'issuer-killed', title: 'kill -9 an issuer in mid batch', times: 20, withinSeconds: 45, site: { issuers: 4 },
    happen: (scene) => inTheMiddle(scene, async () => {
      const last = scene.more.at(-1)?.id ?? scene.batch.id;
      await midAttempt(scene.site.product, last, 0).catch(() => undefined);
      process.kill(await anyOf(scene, 'issuer'), 'SIGKILL');
    }),
  },
  ...crashPoints.map(crash),
  {
    id: 'issuer-stalled', title: 'an issuer hangs for 25 s while another takes its chunks over', times: 2, withinSeconds: 60, site: { issuers: 2 },
    happen: (scene) => inTheMiddle(scene, async () => {
      if ((await issued(scene)).done) await another(scene, 3000);
      const frozen = await freezeIssuerMidAttempt(scene.site.product, scene.more.at(-1)?.id ?? scene.batch.id);
      await scene.hold(25_000);
      process.kill(frozen, 'SIGCONT');
    }),
  },
  {
    id: 'sigterm', title: 'SIGTERM to everything under load, and started again', times: 3, withinSeconds: 45,
    async happen(scene) {
      let slowest = 0;
      await inTheMiddle(scene, async () => {
        const before = await burned(scene);
        slowest = Math.max(slowest, await scene.site.restart('SIGTERM'));
        // What was in hand was finished, not burned.
        if ((await burned(scene)) !== before) scene.note('burned by SIGTERM', String((await burned(scene)) - before));
      });
      scene.note('exit within', `${(slowest / 1000).toFixed(1)} s`);
    },
  },
  {
    id: 'issuer-sigterm', title: 'SIGTERM to one issuer under load: a rolling restart', times: 4, withinSeconds: 45,
    async happen(scene) {
      let slowest = 0;
      await inTheMiddle(scene, async () => {
        const pid = await anyOf(scene, 'issuer');
        const began = performance.now();
        process.kill(pid, 'SIGTERM');
        await until(async () => !alive(pid), 30_000, () => 'the issuer did not end');
        slowest = Math.max(slowest, performance.now() - began);
      });
      scene.note('exit within', `${(slowest / 1000).toFixed(1)} s`);
    },
  },
  {
    id: 'up-killed', title: 'kill -9 everything, and started again', times: 3, withinSeconds: 60,
    happen: (scene) => inTheMiddle(scene, async () => void (await scene.site.restart('SIGKILL'))),
  },
  ...([['1 h', 3_600_000], ['400 days', 400 * 86_400_000]] as const).flatMap(([name, by]) => ([1, -1] as const).map((sign): Row => ({
    id: `clock${sign > 0 ? '+' : '-'}${name.replace(' ', '')}`, title: `the issuers' clocks go ${name} ${sign > 0 ? 'ahead' : 'back'} for 10 s`, times: 1, withinSeconds: 60,
    happen: (scene) => inTheMiddle(scene, async () => {
      scene.site.orders.clock('issuer', sign * by);
      // What was being signed is stored by the right time yet; then nothing may be, until the clock is right.
      await scene.hold(2000);
      const from = await issued(scene);
      await scene.hold(8000);
      const to = await issued(scene);
      scene.site.orders.clock('issuer', 0);
      scene.note('issued by a wrong clock', String(to.issued - from.issued));
      if (to.issued > from.issued) throw new Error(`${to.issued - from.issued} certificates were issued by a clock that is ${name} wrong`);
    }),
  }))),
];

async function burned({ site }: Scene): Promise<number> {
  const [row] = await ask<{ count: number }>(site.product, 'SELECT count(*)::int AS count FROM burned_serial');
  return row?.count ?? 0;
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
