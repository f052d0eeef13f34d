// Whatever dies, nothing is lost and nothing is doubled: the running product with its parts killed under it.
import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../support/folder.ts';
import { accepted, answering, ask, done, ecuKey, emptyQueue, freezeIssuerMidAttempt, kill, line, lines, midAttempt, progress, results, submit } from '../support/faults.ts';
import { recordedSignatures, recordingModule } from '../support/hsm-record.ts';
import { invariants, signaturesOnRecord } from '../support/invariants.ts';
import { type Product, startProduct, until } from '../support/product.ts';
import { batchHolds, judge } from '../faults/judge.ts';
import { rows } from '../faults/rows.ts';
import { allDone, stage } from '../faults/run.ts';
import { Site } from '../faults/site.ts';
import { Random } from '../fuzz/random.ts';

const ITEMS = 5000;

let dataDir: string;
let product: Product;
/** Where the HSM's signatures are on record, if they can be on this machine. */
let record: string | undefined;
let settings: string[];
const start = async (): Promise<void> => {
  product = await startProduct({ dataDir, keep: true, issuers: 2, arguments: settings.flatMap((setting) => ['--set', setting]) });
};

beforeAll(async () => {
  dataDir = openFolder('fleetroot-faults-');
  const folder = join(dataDir, 'record');
  const module = recordingModule(folder);
  if (module !== undefined) record = folder;
  settings = ['FLEETROOT_STALE_AFTER_MS=2000', 'FLEETROOT_CHUNK_ITEMS=100', ...(module === undefined ? [] : [`FLEETROOT_HSM_MODULE=${module}`])];
  await start();
}, 300_000);
afterAll(async () => {
  await product?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

async function allHolds(): Promise<void> {
  expect(await ask(product, `SELECT id, state FROM batch WHERE state <> 'done'`)).toEqual([]);
  expect(await invariants(product)).toEqual([]);
}

const told: string[] = [];
const tell = (what: string, ms: number): void => void told.push(`${what} after ${(ms / 1000).toFixed(1)} s`);
// For people: how long it took. No test judges it but by generous bounds.
afterAll(() => console.log(told.join('\n')));


/** Submits a batch, waits until it is being issued, and lets `fault` happen; it must end by itself, every item issued. */
async function survives(name: string, items: number, fault: (id: string) => Promise<void> | void): Promise<string> {
  const id = await accepted(product, name, await lines(name.toUpperCase(), items));
  await midAttempt(product, id, 0);
  await fault(id);
  tell(`${name}: batch done`, await done(product, id));
  expect(await progress(product, id)).toMatchObject({ items, issued: items, failed: 0 });
  const { items: all } = await results(product, id);
  expect(all.map(({ ordinal, ecuSerial }) => `${ordinal} ${ecuSerial}`)).toEqual(all.map((_, i) => `${i} ${name.toUpperCase()}-${i}`));
  return id;
}

describe('in the middle of a batch', () => {
  afterEach(allHolds);

  test('an issuer is killed, four times between intent and certificates', async () => {
    const id = await survives('issuer-killed', ITEMS, async (batch) => {
      for (const issued of [0, 800, 1600, 2400]) {
        await midAttempt(product, batch, issued);
        kill(product, 'issuer');
      }
    });
    expect(await ask(product, `SELECT FROM burned_serial`)).not.toEqual([]);
    const { items } = await results(product, id);
    for (const { serial } of items.slice(0, 5)) {
      const revoked = await product.json('POST', `/v1/certificates/${serial}/revocation`, 'security', { reason: 'superseded' });
      expect(revoked.status).toBe(200);
    }
  });

  test('an issuer is frozen while another takes its chunk over: what it stores late is refused', async () => {
    const id = await survives('issuer-frozen', 2000, async (batch) => {
      const frozen = await freezeIssuerMidAttempt(product, batch);
      try {
        await emptyQueue(product);
        await until(async () => (await progress(product, batch))?.state === 'done', 60_000, () => 'nobody took the chunk over');
      } finally {
        process.kill(frozen, 'SIGCONT');
      }
      await sleep(2000);
    });
    expect(await ask(product, `SELECT FROM chunk WHERE batch_id = $1 AND fence > 1`, [id])).not.toEqual([]);
  });

  test('PostgreSQL is killed, twice', async () => {
    await survives('postgres-killed', ITEMS, async (id) => {
      kill(product, 'postgres');
      await answering(product);
      await midAttempt(product, id, 0);
      kill(product, 'postgres');
      await answering(product);
    });
  });

  test('the HSM dies', async () => {
    await survives('hsm-killed', 2000, () => kill(product, 'hsm'));
  });

  test('the token is away for three seconds', async () => {
    const tokens = join(dataDir, 'softhsm/ca/tokens');
    await survives('token-away', 3000, async () => {
      renameSync(tokens, `${tokens}.away`);
      kill(product, 'hsm');
      await sleep(3000);
      renameSync(`${tokens}.away`, tokens);
    });
  });

  test('the worker is killed and the queue is emptied', async () => {
    await survives('queue-emptied', 2000, async () => {
      kill(product, 'worker');
      await emptyQueue(product);
    });
  });

  test('everything is stopped by SIGTERM, and started again', async () => {
    await survives('stopped', 3000, async (id) => {
      expect(await product.stop('SIGTERM')).toBe(0);
      await start();
      expect(await progress(product, id)).toBeDefined();
    });
  });

  test('`up` is killed, and started again at once', async () => {
    await survives('up-killed', 3000, async () => {
      await product.stop('SIGKILL');
      await start();
    });
  });
});

describe('while a batch is being received', () => {
  afterEach(allHolds);

  test('the api is killed: nothing was accepted, and its Idempotency-Key works again', { timeout: 120_000 }, async () => {
    const body = await lines('RECEIVED', 1000);
    const half = body.slice(0, body.length / 2);
    const sender = request(`${product.api}/v1/batches?profile=ecu-client`, {
      method: 'POST', headers: { authorization: `Bearer ${product.token('line')}`, 'content-type': 'application/x-ndjson', 'idempotency-key': 'received' },
    });
    const broken = new Promise((resolve) => sender.once('error', resolve));
    sender.write(half);
    const stored = (): Promise<object[]> => ask(product, `SELECT FROM chunk c JOIN batch b ON b.id = c.batch_id WHERE b.idempotency_key = 'received'`);
    await until(async () => (await stored()).length >= 3, 10_000, () => 'nothing of the body was stored');
    kill(product, 'api');
    await broken;
    const began = performance.now();
    let response: Response | undefined;
    await until(async () => {
      response = await submit(product, 'received', body).catch(() => undefined);
      return response?.status === 202;
    }, 60_000, () => `the last answer was ${response?.status}`);
    tell('api killed: Idempotency-Key free', performance.now() - began);
    const { id = '' } = ((await response?.json()) ?? {}) as { id?: string };
    await done(product, id);
    expect(await progress(product, id)).toMatchObject({ items: 1000, issued: 1000 });
    expect(await ask(product, `SELECT id FROM batch WHERE idempotency_key = 'received'`)).toEqual([{ id }]);
  });

  test('its sender breaks off: nothing stays', async () => {
    const controller = new AbortController();
    const sent = fetch(`${product.api}/v1/batches?profile=ecu-client`, {
      method: 'POST', signal: controller.signal, duplex: 'half',
      headers: { authorization: `Bearer ${product.token('line')}`, 'content-type': 'application/x-ndjson', 'idempotency-key': 'broken-off' },
      body: ReadableStream.from((async function* () {
        yield Buffer.from(await lines('BROKEN', 300));
        await sleep(60_000, undefined, { signal: controller.signal });
      })()),
    } as RequestInit);
    sent.catch(() => undefined);
    const rows = (): Promise<object[]> => ask(product, `SELECT state FROM batch WHERE idempotency_key = 'broken-off'`);
    await until(async () => (await rows()).length === 1, 10_000, () => 'no batch was begun');
    controller.abort();
    await expect(sent).rejects.toThrow();
    await until(async () => (await rows()).length === 0, 10_000, () => 'the batch stayed');
  });
});

describe('at once', () => {
  afterEach(allHolds);

  test('ten times the same Idempotency-Key: one batch, the same octets', async () => {
    const body = await lines('TEN', 500);
    const answers = await Promise.all(Array.from({ length: 10 }, () => submit(product, 'ten', body)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 202)).toHaveLength(1);
    expect(statuses.filter((status) => status !== 202 && status !== 200 && status !== 409)).toEqual([]);
    const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as { id?: string; code?: string }[];
    const [id = ''] = new Set(bodies.flatMap((each) => each.id ?? []));
    for (const [i, each] of bodies.entries()) expect(statuses[i] === 409 ? each.code : each.id).toBe(statuses[i] === 409 ? 'idempotency.in-progress' : id);
    await done(product, id);
    const again = await submit(product, 'ten', body);
    expect([again.status, ((await again.json()) as { id: string }).id]).toEqual([200, id]);
    expect((await submit(product, 'ten', `${body}\n`)).status).toBe(409);
    const [one, two] = await Promise.all([results(product, id), results(product, id)]);
    expect(one.items).toHaveLength(500);
    expect(two.text).toBe(one.text);
    expect(await ask(product, `SELECT id FROM batch WHERE idempotency_key = 'ten'`)).toEqual([{ id }]);
  });

  test('a key under two ECUs: exactly one gets it, whatever else that one asks for', async () => {
    const COUNT = 300;
    let [mine, mineAgain, other] = ['', '', ''];
    for (let i = 0; i < COUNT; i++) {
      const key = ecuKey();
      mine += line(`MINE-${i}`, await key.request('a'));
      mineAgain += line(`MINE-${i}`, await key.request('b'));
      other += line(`OTHER-${i}`, await key.request('c'));
    }
    const ids = await Promise.all([accepted(product, 'mine', mine), accepted(product, 'mine-again', mineAgain), accepted(product, 'other', other)]);
    for (const id of ids) await done(product, id);
    const [a = [], b = [], c = []] = await Promise.all(ids.map(async (id) => (await results(product, id)).items));
    for (let i = 0; i < COUNT; i++) {
      const outcomes = [a[i], b[i], c[i]].map((each) => each?.code ?? each?.outcome);
      expect([['issued', 'issued', 'key.other-ecu'], ['key.other-ecu', 'key.other-ecu', 'issued']]).toContainEqual(outcomes);
    }
  });
});

// The rows of `npm run faults`, in short (docs/faults.md): smaller batches, each once, on Redis, with a PostgreSQL that is
// not the product's own. What takes its time by its nature is left to the long form.
describe('each fault once', () => {
  const LONG = ['issuer-killed', 'issuer-stalled', 'sigterm', 'up-killed', 'token-away', 'redis-paused', 'postgres-frozen', 'half-open', 'disk-full', 'hsm-killed', 'clock-1h', 'clock+400days'];
  const short = rows.filter(({ id, backend }) => !LONG.includes(id) && (backend ?? 'redis') === 'redis');
  // The crash points of one part share a batch.
  const groups = Object.entries(Object.groupBy(short, ({ id, title }) => (id.startsWith('crash:') ? `a process dies at each point of ${id.slice(6).split('.')[0]}` : title)));
  const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 2 ** 32);
  let site: Site | undefined;
  const all: { id: string; items: number }[] = [];

  beforeAll(async () => {
    if (record === undefined) return;
    site = await Site.open({ backend: 'redis', issuers: 2, settings: ['FLEETROOT_STALE_AFTER_MS=2000'] });
  });
  afterAll(async () => {
    console.log(`each fault once: FAULTS_SEED=${seed}`);
    await site?.close();
  });

  test.for(groups.map(([title, group = []], i) => [title, group, i] as const))('%s', async ([title, group, i], context) => {
    if (site === undefined) return context.skip('opensc-pkcs11 or a compiler is missing');
    const name = `ROW${i}`;
    const body = { text: await lines(name, 800), items: 800 };
    const scene = await stage(site, { name, random: new Random(seed + i), times: 1, body, holdAtMost: 4000, say: () => undefined });
    for (const row of group) await row.happen(scene);
    tell(title, await allDone(scene));
    const batches = [scene.batch, ...scene.more];
    all.push(...batches);
    expect([...await scene.station.settle(), ...(await Promise.all(batches.map(({ id, items }) => batchHolds(scene.site, id, items)))).flat()]).toEqual([]);
  });

  test('in the end every invariant holds, and every signature is accounted for', async (context) => {
    if (site === undefined) return context.skip('opensc-pkcs11 or a compiler is missing');
    expect((await judge(site, all)).breaches).toEqual([]);
  });
});

describe('in the end', () => {
  test('the HSM signed what the ledger says, and nothing twice', async (context) => {
    if (record === undefined) return context.skip('opensc-pkcs11 or a compiler is missing');
    const recorded = recordedSignatures(record);
    expect(recorded.size).toBeGreaterThan(ITEMS);
    expect(await signaturesOnRecord(product, recorded)).toEqual([]);
  });

  test('no process ended by an error that it did not expect', () => {
    const crash = /^.*\n(?:.*\n){0,20}Node\.js v\d+.*$/m;
    for (const name of readdirSync(join(dataDir, 'logs'))) expect([name, crash.exec(readFileSync(join(dataDir, 'logs', name), 'utf8'))?.[0]]).toEqual([name, undefined]);
  });

  // Checks that cannot fail show nothing.
  test.each([
    ['a chunk counts what is there', 'ALTER TABLE certificate DISABLE TRIGGER USER; DELETE FROM certificate WHERE id = (SELECT max(id) FROM certificate)'],
    ['each item has one outcome', 'ALTER TABLE certificate DISABLE TRIGGER USER; DELETE FROM certificate WHERE id = (SELECT max(id) FROM certificate)'],
    ['the audit log fixes what was issued', 'ALTER TABLE certificate DISABLE TRIGGER USER; DELETE FROM certificate WHERE id = (SELECT max(id) FROM certificate)'],
    ['a batch is the sum of its chunks', 'DELETE FROM chunk WHERE id = (SELECT max(id) FROM chunk)'],
    ['a burned serial is no certificate', `INSERT INTO burned_serial SELECT ca_id, serial, intent_id, not_after, now() FROM certificate LIMIT 1`],
    ['what is revoked or burned is on the CRL', `INSERT INTO burned_serial SELECT ca_id, serial, intent_id, not_after, now() FROM certificate WHERE id = (SELECT max(id) FROM certificate)`],
    ['an abandoned intent is burned', 'ALTER TABLE burned_serial DISABLE TRIGGER USER; DELETE FROM burned_serial WHERE serial = (SELECT max(serial) FROM burned_serial)'],
    ['a certificate has a stored intent', `UPDATE intent SET state = 'abandoned' WHERE id = (SELECT max(intent_id) FROM certificate)`],
    ['an open intent belongs to a chunk that is being signed', `UPDATE intent SET state = 'open' WHERE id = (SELECT max(id) FROM intent)`],
    ['serials derive from their intent', `UPDATE intent SET seed = decode(repeat('00', 32), 'hex') WHERE id = (SELECT max(intent_id) FROM certificate)`],
    ['a key has the owner it was certified for', `UPDATE subject_key SET owner = 'ecu:X' WHERE spki_sha256 = (SELECT spki_sha256 FROM certificate LIMIT 1)`],
    ['a certificate is what its row says', `UPDATE certificate SET der = (SELECT der FROM certificate LIMIT 1) WHERE id = (SELECT max(id) FROM certificate)`],
    ['a batch is done when its chunks are', `UPDATE batch SET state = 'accepted', completed_at = NULL WHERE id = (SELECT max(id::text)::uuid FROM batch)`],
    ['there are as many batch.accepted events as batches', `UPDATE batch SET state = 'receiving', completed_at = NULL WHERE id = (SELECT max(id::text)::uuid FROM batch)`],
  ])('%s: a breach is found', async (name, tamper) => {
    expect(await invariants(product, { tamper, only: name, crlWithinMs: 0 })).not.toEqual([]);
  });
});
