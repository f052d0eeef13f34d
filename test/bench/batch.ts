import { availableParallelism } from 'node:os';
import type { Product } from '../support/product.ts';
import { checkResults, readResults, sendBatch } from './client.ts';
import { byComponent, type CpuUse, cpuUse, installationSeconds, microsPerCertificate, othersShare, takeSnapshot } from './cpu-accounting.ts';
import { type Floor, meanFloor } from './floor.ts';
import { floorOf, installationOf, settle, start } from './installation.ts';
import { type MemoryFigures, MemoryWatch } from './memory.ts';
import { showing } from './bar.ts';
import { beside, print, type Result } from './report.ts';
import { makeRequests, type RequestFile } from './request-file.ts';
import type { Scratch } from './scratch.ts';

/** Certificates for each issuer before anything is measured: connections are open then, statements planned, functions compiled. */
const WARM_UP = 10_000;
const RATIO_GOAL = 0.5;
const MEMORY_GOAL_MIB = 400;

export interface BatchFigures {
  readonly perSecond: number;
  /** From the first octet sent to the answer that all is accepted. */
  readonly receivedAfter: number;
  /** From the first octet sent to the last octet of the last certificate. */
  readonly seconds: number;
  readonly cpu: CpuUse;
  readonly memory: ReadonlyMap<string, MemoryFigures>;
}

/** `bench batch`: requests through REST to certificates committed in PostgreSQL and streamed back, beside the floor. */
export async function benchBatch(scratch: Scratch, items: number, issuers: number, redis: boolean): Promise<void> {
  const warmUp = await warmUpRequests(scratch, issuers);
  const requests = await makeRequests(scratch, items);
  const { product, stop } = await start(scratch, { issuers, redis });
  await measureBatch(product, warmUp);
  const before = await floorOf(product, requests, issuers);
  const figures = await measureBatch(product, requests);
  const after = await floorOf(product, requests, issuers);
  await stop();
  const floor = meanFloor([before, after]);
  print('batch', [
    beside(`certificates, ${issuers} issuers${redis ? ', queue on Redis' : ''}`, figures.perSecond, '1/s', floor.perSecond, RATIO_GOAL),
    byProcessorTime('the same by processor time', figures.cpu, items, floor),
    { name: 'other work on the machine, part of all processors', value: othersShare(figures.cpu), unit: '' },
    { name: 'batch received after', value: figures.receivedAfter, unit: 's' },
    { name: 'last certificate after', value: figures.seconds, unit: 's' },
    ...cpuRows(figures.cpu, items, floor),
    ...memoryRows(figures.memory),
  ], { items, issuers, floorBefore: before, floorAfter: after });
}

export const warmUpRequests = (scratch: Scratch, issuers: number): Promise<RequestFile> =>
  makeRequests(scratch, WARM_UP * issuers, 'requests made to warm up');

/** Calls back at the ends of the measured part. */
export interface Moments {
  readonly onBegin: () => void;
  readonly onEnd: () => void;
}

/** Sends one batch, reads every certificate back while they are issued, and then looks at them. */
export async function measureBatch(product: Product, requests: RequestFile, moments?: Moments): Promise<BatchFigures> {
  await settle();
  const installation = await installationOf(product);
  const memory = new MemoryWatch(installation);
  try {
    const before = takeSnapshot(installation);
    moments?.onBegin();
    const began = performance.now();
    const id = await showing(requests.count, 'requests sent', (onDone) => sendBatch(product, requests, onDone));
    const receivedAfter = (performance.now() - began) / 1000;
    const received = await showing(requests.count, 'certificates received', (onDone) => readResults(product, id, onDone));
    const seconds = (performance.now() - began) / 1000;
    const cpu = cpuUse(before, takeSnapshot(installation), availableParallelism());
    const used = memory.stop();
    moments?.onEnd();
    await checkResults(product, id, requests, received);
    return { perSecond: requests.count / seconds, receivedAfter, seconds, cpu, memory: used };
  } finally {
    memory.stop();
    moments?.onEnd();
  }
}

/**
 * What all processors could do in a second if they did nothing else and never waited, beside the same of the floor. Where
 * other work runs on the machine this ratio is the one to look at; where none does it is the higher one, by what was idle.
 */
function byProcessorTime(name: string, cpu: CpuUse, items: number, { cpuMicros }: Floor): Result {
  return beside(name, (availableParallelism() * items) / installationSeconds(cpu), '1/s', (availableParallelism() * 1e6) / cpuMicros);
}

/** Where both processors were, part by part, for one certificate. */
export function partRows(cpu: CpuUse, items: number): Result[] {
  return microsPerCertificate(cpu, items).map(({ name, value }): Result => ({ name: `CPU: ${name}`, value, unit: 'us/certificate' }));
}

/** The same, with the sum beside the floor's. */
export function cpuRows(cpu: CpuUse, items: number, floor: Floor): Result[] {
  const unit = 'us/certificate';
  return [
    ...partRows(cpu, items),
    { name: 'CPU: all parts', value: (installationSeconds(cpu) * 1e6) / items, unit },
    { name: 'CPU: the floor', value: floor.cpuMicros, unit },
  ];
}

function memoryRows(memory: ReadonlyMap<string, MemoryFigures>): Result[] {
  return [...memory].toSorted(byComponent).flatMap(([component, { most, growth }]): Result[] => [
    { name: `memory of ${component}, most`, value: most, unit: 'MiB', ...(component === 'client' ? {} : { goal: MEMORY_GOAL_MIB }) },
    { name: `memory of ${component}, last quarter over second`, value: growth, unit: '' },
  ]);
}
