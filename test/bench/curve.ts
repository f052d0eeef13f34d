import { availableParallelism } from 'node:os';
import type { Product } from '../support/product.ts';
import { cpuRows, measureBatch, warmUpRequests } from './batch.ts';
import { showing } from './bar.ts';
import { checkResults, readResults, sendBatch } from './client.ts';
import { componentsOf, type Installation } from './components.ts';
import { type CpuUse, cpuUse, issuersTogether, othersShare, takeSnapshot } from './cpu-accounting.ts';
import { type CurveFigures, curveFigures, type CurvePoint } from './curve-arithmetic.ts';
import type { Floor } from './floor.ts';
import { floorOf, installationOf, settle, start } from './installation.ts';
import { mainThread, readProcesses } from './processes.ts';
import { beside, print, type Result } from './report.ts';
import { makeRequests, type RequestFile } from './request-file.ts';
import type { Scratch } from './scratch.ts';

const COUNTS = [1, 2, 4];
const SECOND_ISSUER_GOAL = 1.7;

interface Measured {
  readonly issuers: number;
  readonly figures: CurveFigures;
  readonly cpu: CpuUse;
  readonly floor: Floor;
}

/**
 * `bench batch --curve`: a batch of `items` with 1, 2 and 4 issuers, on the same ledger. The batch is taken in before the
 * measured part and its results are read after it: api and client rest in between.
 */
export async function benchCurve(scratch: Scratch, items: number, redis: boolean): Promise<void> {
  const dataDir = scratch.folder();
  const points: Measured[] = [];
  for (const issuers of COUNTS) {
    const warmUp = await warmUpRequests(scratch, issuers);
    const requests = await makeRequests(scratch, items, `requests made for ${issuers} issuers`);
    const { product, stop } = await start(scratch, { issuers, dataDir, redis });
    await measureBatch(product, warmUp);
    const floor = await floorOf(product, requests, issuers);
    const { point, cpu } = await measureIssuance(product, requests);
    points.push({ issuers, figures: curveFigures(point), cpu, floor });
    await stop();
  }
  print('curve', points.flatMap((point) => rows(point, points[0]!, items)), { items, processors: availableParallelism() });
}

function rows({ issuers, figures, cpu, floor }: Measured, one: Measured, items: number): Result[] {
  const of = `${issuers} ${issuers === 1 ? 'issuer' : 'issuers'}`;
  const scaling = issuers === 1 ? [] : [
    beside(`${of}: as it is, beside one issuer`, figures.asItIs, '1/s', one.figures.asItIs),
    beside(`${of}: discounted, beside one issuer`, figures.discounted, '1/s', one.figures.discounted, issuers === 2 ? SECOND_ISSUER_GOAL : undefined),
  ];
  return [
    beside(`${of}: as it is`, figures.asItIs, '1/s', floor.perSecond),
    { name: `${of}: the other parts discounted`, value: figures.discounted, unit: '1/s' },
    { name: `${of}: if their main threads never waited`, value: figures.bound, unit: '1/s' },
    ...scaling,
    { name: `${of}: other work on the machine, part of all processors`, value: othersShare(cpu), unit: '' },
    { name: `${of}: main thread of an issuer`, value: figures.mainThreadMicros, unit: 'us/certificate' },
    ...cpuRows(cpu, items, floor).map((row) => ({ ...row, name: `${of}: ${row.name}` })),
  ];
}

/** From the acceptance of the batch to its end, as PostgreSQL has it; nobody reads results meanwhile. */
async function measureIssuance(product: Product, requests: RequestFile): Promise<{ readonly point: CurvePoint; readonly cpu: CpuUse }> {
  await settle();
  const installation = await installationOf(product);
  const pids = issuerPids(installation);
  const threads = (): { ran: number; waitedForProcessor: number }[] => pids.map(mainThread);
  const id = await showing(requests.count, 'requests sent', (onDone) => sendBatch(product, requests, onDone));
  const [before, threadsBefore] = [takeSnapshot(installation), threads()];
  await showing(requests.count, 'certificates issued', (onDone) => untilDone(product, id, onDone));
  const [after, threadsAfter] = [takeSnapshot(installation), threads()];
  await checkResults(product, id, requests, await readResults(product, id));
  const cpu = issuersTogether(cpuUse(before, after, availableParallelism()));
  return {
    cpu,
    point: {
      certificates: requests.count, seconds: cpu.seconds,
      mainThreads: threadsAfter.map(({ ran, waitedForProcessor }, i) => ({
        ran: (ran - threadsBefore[i]!.ran) / 1e9, waitedForProcessor: (waitedForProcessor - threadsBefore[i]!.waitedForProcessor) / 1e9,
      })),
    },
  };
}

const issuerPids = (installation: Installation): number[] =>
  [...componentsOf(readProcesses(), installation)].filter(([, component]) => /^issuer-\d+$/.test(component)).map(([pid]) => pid);

/** How late the end may be noticed. */
const LOOK_EVERY_MS = 100;

async function untilDone(product: Product, id: string, onDone: (more: number) => void): Promise<void> {
  for (let seen = 0; ;) {
    const { body } = await product.json('GET', `/v1/batches/${id}`, 'line');
    const { state, issued } = body as { state: string; issued: number };
    onDone(issued - seen);
    seen = issued;
    if (state === 'done') return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
