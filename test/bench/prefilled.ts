import { cpuRows, measureBatch, type BatchFigures, warmUpRequests } from './batch.ts';
import { installationSeconds, issuersTogether, othersShare } from './cpu-accounting.ts';
import { showing } from './bar.ts';
import { type Floor, meanFloor } from './floor.ts';
import { databaseUrl, floorOf, start } from './installation.ts';
import { prefill } from './prefill.ts';
import { beside, print, type Result } from './report.ts';
import { makeRequests, type RequestFile } from './request-file.ts';
import type { Scratch } from './scratch.ts';

const RATIO_GOAL = 0.9;

interface Ledger {
  readonly name: string;
  readonly dataDir: string;
}

interface Round {
  readonly figures: BatchFigures;
  readonly floor: Floor;
  readonly startSeconds: number;
}

interface Requests {
  readonly warmUp: RequestFile;
  readonly measured: RequestFile;
}

/**
 * `bench batch --prefill N`: two installations, one empty and one of N certificates, get the same requests. They take turns
 * (empty, filled, filled, empty), with half of the items in each turn, so that a machine that gets slower or faster
 * meanwhile does not favour one of them; only one of them runs at a time.
 */
export async function benchPrefilled(scratch: Scratch, items: number, issuers: number, rows: number, redis: boolean): Promise<void> {
  const halves: Requests[] = [];
  for (const half of [1, 2]) {
    halves.push({
      warmUp: await warmUpRequests(scratch, issuers),
      measured: await makeRequests(scratch, Math.ceil(items / 2), `requests made for half ${half}`),
    });
  }
  const empty = { name: 'empty', dataDir: scratch.folder() };
  const filled = { name: `of ${rows}`, dataDir: scratch.folder() };
  const begin = { issuers, redis };
  await (await start(scratch, { ...begin, dataDir: empty.dataDir })).stop();
  const seconds = await fill(scratch, filled, rows, begin);

  const rounds = new Map<Ledger, Round[]>([[empty, []], [filled, []]]);
  const [first, second] = halves as [Requests, Requests];
  for (const [ledger, requests] of [[empty, first], [filled, first], [filled, second], [empty, second]] as const) {
    console.log(`the ledger ${ledger.name}:`);
    rounds.get(ledger)!.push(await round(scratch, ledger, requests, begin));
  }
  print('prefill', results(rounds.get(empty)!, rounds.get(filled)!, rows, seconds), { items, issuers, rows });
}

async function fill(scratch: Scratch, { dataDir }: Ledger, rows: number, begin: { issuers: number; redis: boolean }): Promise<number> {
  const { product, stop } = await start(scratch, { ...begin, dataDir });
  const began = performance.now();
  let before = 0;
  await showing(rows, 'certificates put into the ledger', (onDone) => prefill(databaseUrl(product), rows, (done) => {
    onDone(done - before);
    before = done;
  }));
  const seconds = (performance.now() - began) / 1000;
  await stop();
  return seconds;
}

async function round(
  scratch: Scratch, { dataDir }: Ledger, { warmUp, measured }: Requests, begin: { issuers: number; redis: boolean },
): Promise<Round> {
  const { product, startSeconds, stop } = await start(scratch, { ...begin, dataDir });
  await measureBatch(product, warmUp);
  const before = await floorOf(product, measured, begin.issuers);
  const figures = await measureBatch(product, measured);
  const after = await floorOf(product, measured, begin.issuers);
  await stop();
  return { figures, floor: meanFloor([before, after]), startSeconds };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function results(empty: readonly Round[], filled: readonly Round[], rows: number, seconds: number): Result[] {
  const rate = (rounds: readonly Round[]): number => mean(rounds.map(({ figures }) => figures.perSecond));
  const ofFloor = (rounds: readonly Round[]): number => mean(rounds.map(({ figures, floor }) => figures.perSecond / floor.perSecond));
  const rateByCpu = (rounds: readonly Round[]): number =>
    1 / mean(rounds.map(({ figures }) => installationSeconds(figures.cpu) / (figures.perSecond * figures.seconds)));
  const start = (rounds: readonly Round[]): number => mean(rounds.map(({ startSeconds }) => startSeconds));
  const floor = (rounds: readonly Round[]): number => mean(rounds.map((round) => round.floor.perSecond));
  return [
    beside(`certificates, ledger of ${rows} beside the empty one`, rate(filled), '1/s', rate(empty), RATIO_GOAL),
    beside('the same, each as a part of its floor', ofFloor(filled), '', ofFloor(empty)),
    beside('the same by processor time', rateByCpu(filled), '1/s', rateByCpu(empty)),
    beside('certificates, empty ledger', rate(empty), '1/s', floor(empty)),
    beside(`certificates, ledger of ${rows}`, rate(filled), '1/s', floor(filled)),
    { name: 'start, empty ledger', value: start(empty), unit: 's' },
    { name: `start, ledger of ${rows}`, value: start(filled), unit: 's' },
    { name: `${rows} certificates put into the ledger`, value: seconds, unit: 's' },
    { name: 'other work on the machine, part of all processors, most in a turn', value: Math.max(...[...empty, ...filled].map(({ figures }) => othersShare(figures.cpu))), unit: '' },
    ...([['empty', empty], [`of ${rows}`, filled]] as const).flatMap(([name, rounds]) => rounds.flatMap(({ figures, floor }, i) =>
      cpuRows(issuersTogether(figures.cpu), Math.round(figures.perSecond * figures.seconds), floor).map((row) => ({ ...row, name: `${name}, turn ${i + 1}: ${row.name}` })))),
  ];
}
