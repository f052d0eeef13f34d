import { setTimeout as sleep } from 'node:timers/promises';
import { measureBatch, partRows, warmUpRequests } from './batch.ts';
import { othersShare } from './cpu-accounting.ts';
import { start } from './installation.ts';
import { percentile, print, type Result } from './report.ts';
import { makeRequests } from './request-file.ts';
import type { Scratch } from './scratch.ts';
import { Stations } from './stations.ts';

const P99_GOAL_MS = 100;
/** Requests are made for a batch that is no faster than so many items a second. */
const SLOWEST_BATCH = 1_000;
const LEAST_SECONDS = 60;

/** `bench single`: POST /v1/certificates at a steady rate, as stations ask for one certificate each. */
export async function benchSingle(scratch: Scratch, perSecond: number, seconds: number, issuers: number): Promise<void> {
  const made = await Stations.make(scratch, Math.ceil(perSecond * (seconds + 1)));
  const { product, stop } = await start(scratch, { issuers });
  const stations = await made.start(product);
  const began = performance.now();
  const latencies = await stations.ask(perSecond, sleep(seconds * 1000));
  const took = (performance.now() - began) / 1000;
  await stop();
  print('single', rows(latencies, perSecond, took), { perSecond, seconds, issuers });
}

/** `bench single --during-batch`: the same, from the first octet of a batch to its last certificate. */
export async function benchSingleDuringBatch(scratch: Scratch, perSecond: number, items: number, issuers: number): Promise<void> {
  const warmUp = await warmUpRequests(scratch, issuers);
  const requests = await makeRequests(scratch, items);
  const made = await Stations.make(scratch, Math.ceil(perSecond * Math.max(LEAST_SECONDS, items / SLOWEST_BATCH)));
  const { product, stop } = await start(scratch, { issuers });
  await measureBatch(product, warmUp);
  const stations = await made.start(product);
  const began = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const batch = measureBatch(product, requests, {
    onBegin: began.resolve,
    onEnd: ended.resolve,
  });
  batch.catch((error: unknown) => {
    began.reject(error);
    ended.reject(error);
  });
  ended.promise.catch(() => undefined);
  await began.promise;
  const latencies = await stations.ask(perSecond, ended.promise);
  const { perSecond: rate, seconds, receivedAfter, cpu } = await batch;
  await stop();
  print('single during a batch', [
    ...rows(latencies, perSecond, seconds, P99_GOAL_MS),
    { name: `the batch of ${items} beside them`, value: rate, unit: '1/s' },
    { name: 'batch received after', value: receivedAfter, unit: 's' },
    { name: 'last certificate after', value: seconds, unit: 's' },
    { name: 'other work on the machine, part of all processors', value: othersShare(cpu), unit: '' },
    ...partRows(cpu, items),
  ], { perSecond, items, issuers });
}

function rows(latencies: readonly number[], offered: number, seconds: number, goal?: number): Result[] {
  const sorted = latencies.toSorted((a, b) => a - b);
  return [
    { name: 'offered', value: offered, unit: '1/s' },
    { name: 'answered', value: sorted.length / seconds, unit: '1/s' },
    { name: 'requests', value: sorted.length, unit: '' },
    { name: 'p50', value: percentile(sorted, 50), unit: 'ms' },
    { name: 'p99', value: percentile(sorted, 99), unit: 'ms', ...(goal === undefined ? {} : { goal }) },
    { name: 'slowest', value: sorted.at(-1) ?? Number.NaN, unit: 'ms' },
  ];
}
