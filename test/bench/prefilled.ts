import { cpuRows, measureBatch, type BatchFigures, warmUpRequests } from './batch.ts';
import { type CpuUse, installationSeconds, issuersTogether, othersShare, secondsSoFar, sumUses } from './cpu-accounting.ts';
import { showing } from './bar.ts';
import { type Floor, meanFloor } from './floor.ts';
import { databaseUrl, floorOf, installationOf, start } from './installation.ts';
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
  readonly startCpuSeconds: number;
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
  const half = Math.ceil(items / 2);
  for (const turn of [1, 2]) {
    halves.push({
      warmUp: await warmUpRequests(scratch, issuers),
      measured: await makeRequests(scratch, half, `requests made for turn ${turn}`),
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
  print('prefill', results(sums(rounds.get(empty)!, 2 * half), sums(rounds.get(filled)!, 2 * half), rows, seconds), { items, issuers, rows });
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
  const startCpuSeconds = secondsSoFar(await installationOf(product));
  await measureBatch(product, warmUp);
  const before = await floorOf(product, measured, begin.issuers);
  const figures = await measureBatch(product, measured);
  const after = await floorOf(product, measured, begin.issuers);
  await stop();
  return { figures, floor: meanFloor([before, after]), startSeconds, startCpuSeconds };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

interface Sums {
  readonly items: number;
  readonly perSecond: number;
  readonly ofFloor: number;
  readonly floor: Floor;
  readonly cpu: CpuUse;
  readonly startSeconds: number;
  readonly startCpuSeconds: number;
}

function sums(rounds: readonly Round[], items: number): Sums {
  return {
    items, perSecond: mean(rounds.map(({ figures }) => figures.perSecond)), floor: meanFloor(rounds.map(({ floor }) => floor)),
    ofFloor: mean(rounds.map(({ figures, floor }) => figures.perSecond / floor.perSecond)),
    cpu: issuersTogether(sumUses(rounds.map(({ figures }) => figures.cpu))),
    startSeconds: mean(rounds.map(({ startSeconds }) => startSeconds)), startCpuSeconds: mean(rounds.map(({ startCpuSeconds }) => startCpuSeconds)),
  };
}

function results(empty: Sums, filled: Sums, rows: number, fillSeconds: number): Result[] {
  const ledgers = [['empty ledger', empty], [`ledger of ${rows}`, filled]] as const;
  const perCpuSecond = ({ cpu, items }: Sums): number => items / installationSeconds(cpu);
  return [
    beside(`certificates, ledger of ${rows} beside the empty one`, filled.perSecond, '1/s', empty.perSecond, RATIO_GOAL),
    beside('the same, each as a part of its floor', filled.ofFloor, '', empty.ofFloor),
    beside('the same for a second of processor time', perCpuSecond(filled), '1/s', perCpuSecond(empty)),
    ...ledgers.map(([name, { perSecond, floor }]) => beside(`certificates, ${name}`, perSecond, '1/s', floor.perSecond)),
    ...ledgers.flatMap(([name, { startSeconds, startCpuSeconds }]): Result[] => [
      { name: `start, ${name}`, value: startSeconds, unit: 's' },
      { name: `start, ${name}, processor time`, value: startCpuSeconds, unit: 's' },
    ]),
    { name: `${rows} certificates put into the ledger`, value: fillSeconds, unit: 's' },
    ...ledgers.flatMap(([name, { cpu, items, floor }]): Result[] => [
      { name: `${name}: other work on the machine, part of all processors`, value: othersShare(cpu), unit: '' },
      ...cpuRows(cpu, items, floor).map((row) => ({ ...row, name: `${name}: ${row.name}` })),
    ]),
  ];
}
