import { execFileSync } from 'node:child_process';
import { renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, emptyQueue, pidsOf } from '../support/faults.ts';
import { openFolder } from '../support/folder.ts';
import { Availability } from './availability.ts';
import { deliverAgain } from './deliver-again.ts';
import { anyOf, inTheMiddle, issued, type Row, type Scene } from './row.ts';

/** Of the ledger's product, by a connection that no fault hits. */
const noneRestarted = (before: readonly number[], after: readonly number[]): string =>
  before.every((pid) => after.includes(pid)) ? 'none' : `${before.filter((pid) => !after.includes(pid)).length}`;

const roles = ({ site }: Scene): number[] => (['api', 'issuer', 'worker', 'status'] as const).flatMap((part) => pidsOf(site.product, part));

/** Takes PostgreSQL away, asks the api all the while, and tells how it answered and how soon it was itself again. */
async function databaseAway(scene: Scene, take: () => Promise<void> | void, forMs: number, giveBack: () => Promise<void> | void): Promise<void> {
  const before = roles(scene);
  const availability = new Availability(scene.site.product, scene.batch.id);
  await take();
  await scene.hold(forMs);
  const during = availability.end();
  await giveBack();
  const back = await availability.back();
  scene.note('503 within', `${(during.slowestMs / 1000).toFixed(1)} s`);
  scene.note('answers while away', during.statuses);
  scene.note('without Retry-After', String(during.withoutRetryAfter));
  scene.note('api back after', `${(back / 1000).toFixed(1)} s`);
  scene.note('restarted', noneRestarted(before, roles(scene)));
}

const tmpfs = (): string | undefined => {
  const folder = openFolder('fleetroot-tmpfs-');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'pipe' });
    execFileSync('umount', [folder], { stdio: 'pipe' });
    return undefined;
  } catch {
    return 'a tmpfs cannot be mounted here';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

export const partRows: readonly Row[] = [
  {
    id: 'insert-refused', title: 'an insert is refused after the signature', times: 20, withinSeconds: 60,
    async happen(scene) {
      const { site, times } = scene;
      // A sequence counts on whatever is rolled back. `times` of the inserts are refused, each fourth.
      await ask(site.product, 'CREATE SEQUENCE fault_insert');
      await ask(site.product, `CREATE FUNCTION fault_insert() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n bigint := nextval('fault_insert'); BEGIN
        IF n % 4 = 0 AND n <= ${times * 4} THEN RAISE EXCEPTION 'refused by the test' USING ERRCODE = 'internal_error'; END IF; RETURN NULL; END $$`);
      await ask(site.product, 'CREATE TRIGGER fault_insert AFTER INSERT ON certificate FOR EACH STATEMENT EXECUTE FUNCTION fault_insert()');
      for (const deadline = Date.now() + 180_000; ; await sleep(200)) {
        const [row] = await ask<{ n: string }>(site.product, 'SELECT last_value AS n FROM fault_insert');
        if (Number(row?.n ?? 0) >= times * 4) break;
        if (Date.now() > deadline) throw new Error(`only ${row?.n} inserts came`);
      }
      await ask(site.product, 'DROP TRIGGER fault_insert ON certificate');
      await ask(site.product, 'DROP FUNCTION fault_insert; DROP SEQUENCE fault_insert');
    },
  },
  {
    id: 'queue-emptied', title: 'the queue is emptied (PostgreSQL)', times: 5, backend: 'postgres', withinSeconds: 30,
    happen: (scene) => inTheMiddle(scene, () => emptyQueue(scene.site.product)),
  },
  {
    id: 'redis-emptied', title: 'Redis is emptied', times: 5, backend: 'redis', withinSeconds: 30,
    happen: (scene) => inTheMiddle(scene, () => scene.site.redis.empty()),
  },
  {
    id: 'redis-killed', title: 'Redis is killed, and back empty after 1 to 5 s', times: 5, backend: 'redis', withinSeconds: 45,
    happen: (scene) => inTheMiddle(scene, async () => {
      await scene.site.redis.stop();
      await scene.hold(1000 + scene.random.below(4000));
      await scene.site.redis.start();
    }),
  },
  {
    id: 'redis-paused', title: 'Redis answers nothing for 20 s', times: 2, backend: 'redis', withinSeconds: 45,
    happen: (scene) => inTheMiddle(scene, async () => {
      scene.site.redis.pause();
      await scene.hold(20_000);
      scene.site.redis.resume();
    }),
  },
  {
    id: 'postgres-killed', title: 'PostgreSQL is killed', times: 5, withinSeconds: 45,
    happen: (scene) => inTheMiddle(scene, async () => {
      await scene.site.postgres.kill();
      await scene.site.postgres.start();
    }),
  },
  {
    id: 'postgres-away', title: 'PostgreSQL is away for 30 s', times: 1, withinSeconds: 45,
    happen: (scene) => inTheMiddle(scene, () => databaseAway(scene, () => scene.site.postgres.stop(), 30_000, () => scene.site.postgres.start())),
  },
  {
    id: 'postgres-frozen', title: 'PostgreSQL answers nothing for 15 s', times: 1, withinSeconds: 60,
    happen: (scene) => inTheMiddle(scene, () => databaseAway(scene, () => scene.site.postgres.freeze(), 15_000, () => scene.site.postgres.thaw())),
  },
  {
    id: 'half-open', title: 'connections to PostgreSQL are half-open', times: 1, withinSeconds: 120, site: { proxied: true },
    happen: (scene) => inTheMiddle(scene, async () => scene.site.proxy.strand()),
  },
  {
    id: 'disk-full', title: 'the disk of PostgreSQL is full for 10 s', times: 2, withinSeconds: 60, missing: tmpfs, site: { diskOctets: 1_500_000_000 },
    happen: (scene) => inTheMiddle(scene, async () => {
      const { databaseDir, postgres } = scene.site;
      const ballast = join(databaseDir, 'ballast');
      const { bavail, bsize } = statfsSync(databaseDir);
      // Never too little: it is written until the disk is full.
      try {
        writeFileSync(ballast, Buffer.alloc(Math.min(bavail * bsize, 2 ** 30)));
        for (let i = 0; i < 4096; i++) writeFileSync(ballast, Buffer.alloc(2 ** 16), { flag: 'a' });
      } catch {
        // Full.
      }
      await scene.hold(10_000);
      scene.note('PostgreSQL ended by itself', postgres.ended ? 'yes' : 'no');
      rmSync(ballast);
      // As its service manager does.
      if (postgres.ended) await postgres.start();
    }),
  },
  {
    id: 'hsm-killed', title: 'the process that drives the HSM is killed', times: 20, withinSeconds: 45,
    happen: (scene) => inTheMiddle(scene, async () => void process.kill(await anyOf(scene, 'hsm'), 'SIGKILL')),
  },
  {
    id: 'hsm-hangs', title: 'the HSM answers nothing for 10 s', times: 2, withinSeconds: 60,
    happen: (scene) => inTheMiddle(scene, async () => {
      scene.site.shim.hang(true);
      await scene.hold(10_000);
      scene.site.shim.hang(false);
    }),
  },
  {
    id: 'token-away', title: 'the token is gone for 10 s, and back', times: 2, withinSeconds: 60,
    happen: (scene) => inTheMiddle(scene, async () => {
      const tokens = join(scene.site.dataDir, 'softhsm/ca/tokens');
      renameSync(tokens, `${tokens}.away`);
      for (const pid of pidsOf(scene.site.product, 'hsm')) process.kill(pid, 'SIGKILL');
      await scene.hold(10_000);
      renameSync(`${tokens}.away`, tokens);
    }),
  },
  {
    id: 'ten-times', title: 'every job is delivered ten times', times: 1, withinSeconds: 90,
    async happen(scene) {
      const before = await issued(scene);
      await deliverAgain(scene.site, scene.batch.id, 9);
      scene.note('delivered again from', `${before.issued} items on`);
    },
  },
];
