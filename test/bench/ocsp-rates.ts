// OCSP under load: from the cache, with nonces, and beside a batch that is issued meanwhile.
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { collectorFlags, ROLES_BESIDE_ISSUERS } from '../../apps/cli/src/up/collector-flags.ts';
import { makeToken } from '../support/softhsm.ts';
import { type ReadyAnswer, startBareResponder } from './bare-responder.ts';
import { measureBatch, warmUpRequests } from './batch.ts';
import { othersShare } from './cpu-accounting.ts';
import { type Load, load, type LoadFigures, startLoad } from './http-load.ts';
import { settle } from './installation.ts';
import { getOf, ISSUERS, pathOf, postOf, questionOf, revoke, type Site } from './ocsp-site.ts';
import { cfsslResponder, opensslResponder } from './other-responders.ts';
import { rawProcesses } from './raw-signatures.ts';
import { beside, percentile, type Result } from './report.ts';
import { makeRequests, type RequestFile } from './request-file.ts';
import type { Scratch } from './scratch.ts';

/** Certificates that are asked for in turn, and how many of them are revoked. */
const ASKED = 500;
const REVOKED = 50;
const CONNECTIONS = 32;
/** Each waits for a signature of its own: with few clients the processors rest between them. */
const NONCE_CONNECTIONS = 128;
const NONCES = 2_000;
const CACHED_GOAL = 0.7;
const NONCE_GOAL = 0.5;
const P99_GOAL_MS = 5;
/** Of relying parties, while a batch is issued. */
const BESIDE_BATCH = 500;

export const OCSP_CERTIFICATES = ASKED;

/** Answers from the cache and with nonces beside their floors, and other responders for the same certificates. Takes the first certificates of the site. */
export async function ocspRates(scratch: Scratch, whole: Site, seconds: number): Promise<Result[]> {
  const site = { ...whole, issued: whole.issued.slice(0, ASKED) };
  for (const one of site.issued.slice(0, REVOKED)) await revoke(site, one);
  await settle();
  const ready = await readyAnswers(site);
  const bare = await startBareResponder(scratch, ready, collectorFlags('status', ISSUERS + ROLES_BESIDE_ISSUERS, availableParallelism()));
  const rates = new Rates(scratch, site, bare, seconds);
  const get = await rates.fromTheCache('GET', ready.map(({ path }) => getOf(path)));
  const posts = site.issued.map((one) => postOf(questionOf(site, one)));
  const post = await rates.fromTheCache('POST', posts);
  const nonce = await rates.withNonces();
  const openssl = await opensslResponder(scratch, site, REVOKED, seconds);
  const cfssl = await cfsslResponder(scratch, ready.map(({ body }) => body), posts, CONNECTIONS, seconds);
  return [
    ...get.rows, ...post.rows, ...nonce.rows,
    beside('OCSP with a nonce, beside `openssl ocsp`, which signs each and ends the connection', nonce.perSecond, '1/s', openssl),
    ...(cfssl === undefined ? [] : [beside('OCSP from the cache, POST, beside `cfssl ocspserve`', post.perSecond, '1/s', cfssl)]),
  ];
}

async function readyAnswers(site: Site): Promise<ReadyAnswer[]> {
  const names = ['cache-control', 'etag', 'expires', 'last-modified'];
  const ready: ReadyAnswer[] = [];
  for (const one of site.issued) {
    const path = pathOf(site, one);
    const answer = await fetch(`${site.product.status}${path}`);
    const headers = Object.fromEntries(names.map((name) => [name, answer.headers.get(name) ?? '']).filter(([, value]) => value !== ''));
    ready.push({ path, body: Buffer.from(await answer.arrayBuffer()), headers });
  }
  return ready;
}

interface Measured {
  readonly perSecond: number;
  readonly rows: readonly Result[];
}

/** The product's responder beside the bare one, which gives back octets that it has ready. */
class Rates {
  readonly #scratch: Scratch;
  readonly #site: Site;
  readonly #bare: number;
  readonly #seconds: number;

  constructor(scratch: Scratch, site: Site, bare: number, seconds: number) {
    this.#scratch = scratch;
    this.#site = site;
    this.#bare = bare;
    this.#seconds = seconds;
  }

  async fromTheCache(what: string, requests: readonly Uint8Array[]): Promise<Measured> {
    const [ours, bare] = [this.#task(this.#site.port, requests), this.#task(this.#bare, requests)];
    for (const cold of [ours, bare]) await load(this.#scratch, { ...cold, seconds: 1 });
    const [floor, perSecond] = await inTurns(() => load(this.#scratch, bare), () => load(this.#scratch, ours));
    const name = `OCSP from the cache, ${what}`;
    return { perSecond, rows: [beside(name, perSecond, '1/s', floor, CACHED_GOAL), ...await this.#atHalf(name, ours, bare, perSecond / 2, P99_GOAL_MS)] };
  }

  /** Each with a nonce of its own, so each signed; beside bare signatures of one process. */
  async withNonces(): Promise<Measured> {
    const token = await makeToken();
    this.#scratch.defer(() => token.remove());
    process.env['SOFTHSM2_CONF'] = token.softhsmConf;
    const key = await token.generateKey('p-256');
    const raw = await rawProcesses(1, { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin.reveal(), keyId: key.keyId, rsa: false, sessionCopy: true });
    const { issued } = this.#site;
    const requests = Array.from({ length: NONCES }, (_, i) => postOf(questionOf(this.#site, issued[i % issued.length]!, randomBytes(32))));
    try {
      const ours = { ...this.#task(this.#site.port, requests), connections: NONCE_CONNECTIONS };
      await load(this.#scratch, { ...ours, seconds: 1 });
      await raw.sign(5_000);
      const [floor, perSecond] = await inTurns(async () => ({ perSecond: await raw.sign(20_000), failed: 0 }), () => load(this.#scratch, ours));
      const name = 'OCSP with a nonce';
      return {
        perSecond,
        rows: [
          beside(`${name}, beside bare signatures`, perSecond, '1/s', floor, NONCE_GOAL),
          ...await this.#atHalf(name, ours, { ...ours, port: this.#bare }, perSecond / 2),
        ],
      };
    } finally {
      raw.close();
    }
  }

  #task(port: number, requests: readonly Uint8Array[]): Load & { readonly seconds: number } {
    return { port, requests, connections: CONNECTIONS, seconds: this.#seconds };
  }

  /** At a steady rate, half of what it was at most; the bare responder at the same rate. */
  async #atHalf(name: string, ours: Load & { readonly seconds: number }, bare: typeof ours, rate: number, goal?: number): Promise<Result[]> {
    const floor = good(await load(this.#scratch, { ...bare, rate }));
    const half = good(await load(this.#scratch, { ...ours, rate }));
    return latencyRows(`${name}, at half of that`, half, floor, goal);
  }
}

/** Milliseconds beside those of the floor; the goal is the value's own, of p99. */
function latencyRows(name: string, { latencies }: LoadFigures, floor: LoadFigures, goal?: number): Result[] {
  return [50, 99].map((p) => ({
    name: `${name}, p${p}`, value: percentile(latencies, p), unit: 'ms', floor: percentile(floor.latencies, p), ...(goal === undefined || p !== 99 ? {} : { goal }),
  }));
}

export interface BatchBeside {
  readonly warmUp: RequestFile;
  readonly measured: RequestFile;
}

export async function batchBeside(scratch: Scratch, items: number): Promise<BatchBeside> {
  return { warmUp: await warmUpRequests(scratch, ISSUERS), measured: await makeRequests(scratch, items) };
}

/** GET from the cache at a steady rate, from the first octet of a batch to its last certificate; beside it the same with no batch. */
export async function ocspDuringBatch(scratch: Scratch, whole: Site, { warmUp, measured }: BatchBeside, seconds: number): Promise<Result[]> {
  const site = { ...whole, issued: whole.issued.slice(0, ASKED) };
  const task: Load = { port: site.port, requests: (await readyAnswers(site)).map(({ path }) => getOf(path)), connections: CONNECTIONS, rate: BESIDE_BATCH };
  await measureBatch(site.product, warmUp);
  await settle();
  const alone = good(await load(scratch, { ...task, seconds }));
  const asking = startLoad(scratch, task);
  await asking.warm;
  const { perSecond, cpu } = await measureBatch(site.product, measured, { onBegin: () => asking.count(), onEnd: () => asking.stop() });
  const figures = good(await asking.figures);
  const name = `OCSP from the cache, GET at ${BESIDE_BATCH} a second, while a batch of ${measured.count} is issued`;
  return [
    ...latencyRows(name, figures, alone),
    { name: '... answers', value: figures.answers, unit: '' },
    { name: '... the batch beside them', value: perSecond, unit: '1/s' },
    { name: '... other work on the machine, part of all processors', value: othersShare(cpu), unit: '' },
  ];
}

type Rate = Pick<LoadFigures, 'perSecond' | 'failed'>;

function good<T extends Rate>(figures: T): T {
  if (figures.failed > 0) throw new Error(`${figures.failed} answers were errors`);
  return figures;
}

/** Mean rates of both, measured as one, two, two, one: a machine that grows slower favours neither. */
async function inTurns(one: () => Promise<Rate>, two: () => Promise<Rate>): Promise<[number, number]> {
  const [first, second, third, fourth] = [good(await one()), good(await two()), good(await two()), good(await one())];
  return [(first.perSecond + fourth.perSecond) / 2, (second.perSecond + third.perSecond) / 2];
}
