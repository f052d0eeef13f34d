import { setTimeout as sleep } from 'node:timers/promises';
import { systemRandom } from '@fleetroot/core';
import { lineStatus, LineError } from '../batch/line-error.ts';
import type { RestClient } from '../rest.ts';
import { Truststore } from '../truststore.ts';
import { newRun, planVehicle } from '../vehicles.ts';
import { Figures, type StationReport } from './figures.ts';
import { carMix, carsPerStation, carTimes } from './mix.ts';
import type { LinePlan } from './options.ts';
import { doCar, type Mode } from './station.ts';
import { Workshop } from './workshop.ts';
import type { MadeRequest } from './workshop-worker.ts';

export interface SimulationOptions {
  readonly plan: LinePlan;
  readonly mode: Mode;
  readonly profile: string;
  readonly ca: string | undefined;
  /** The stations share them in turn. */
  readonly clients: readonly [RestClient, ...RestClient[]];
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Simulation {
  readonly all: StationReport;
  readonly stations: readonly StationReport[];
  /** On the clock, from the line's start to the last answer. */
  readonly seconds: number;
}

/** Requests that are made before the line starts; what a longer run needs beyond them is made while it runs. */
const AHEAD = 20_000;
/** Between the last preparation and the first car. */
const SETTLE_MS = 200;

/** @throws LineError where the CAs of the API do not chain to a root; what a call to the API throws before the start */
export async function simulate(options: SimulationOptions): Promise<Simulation> {
  const { plan, clients, signal, say } = options;
  const workshop = new Workshop(options.threads, await authorities(clients[0], options.ca));
  const stop = (): void => void workshop.close();
  signal.addEventListener('abort', stop);
  try {
    const cars = carsPerStation(plan);
    const depth = Math.min(cars, Math.max(2, Math.floor(AHEAD / (plan.stations * plan.ecus.most))));
    const run = newRun(systemRandom);
    const order = (station: number, car: number): Promise<readonly MadeRequest[]> =>
      workshop.make(planVehicle(run, station * cars + car + 1, carMix(plan.seed, station, car, plan.ecus), systemRandom).ecus);
    const queues = Array.from({ length: plan.stations }, (_, station) => Array.from({ length: depth }, (__, car) => order(station, car)));
    await Promise.all(queues.flat());
    say(`Line of ${plan.stations} stations: ${cars} cars each, their first ${depth} are prepared`);
    const figures = queues.map(() => new Figures());
    const began = performance.now() + SETTLE_MS;
    await Promise.all(queues.map(async (queue, station) => {
      const client = clients[station % clients.length] ?? clients[0];
      const atWork: Promise<void>[] = [];
      for (let car = 0; car < cars; car++) {
        const times = carTimes(plan, station, car);
        const wait = began + times.start - performance.now();
        if (wait > 0) await sleep(wait, undefined, { signal });
        if (car + depth < cars) queue.push(order(station, car + depth));
        const requests = await queue.shift() ?? [];
        atWork.push(doCar(times, requests, { ...options, client, burst: plan.burst, figures: figures[station] ?? new Figures(), workshop, began }));
      }
      await Promise.all(atWork);
    }));
    const all = new Figures();
    for (const each of figures) all.add(each);
    return { all: all.report(), stations: figures.map((each, i) => each.report(i + 1)), seconds: (performance.now() - began) / 1000 };
  } finally {
    signal.removeEventListener('abort', stop);
    await workshop.close();
  }
}

/** PEM of the CAs that may issue for this line, and of those above them, each signed by the one that it names. */
async function authorities(client: RestClient, ca: string | undefined): Promise<string> {
  const { items } = await client.get('/v1/cas?state=active') as { items: readonly { readonly name: string }[] };
  const names = ca === undefined ? items.map(({ name }) => name) : [ca];
  const chains = await Promise.all(names.map((name) => client.text(`/v1/cas/${encodeURIComponent(name)}/chain`, { accept: 'application/x-pem-file' })));
  const pem = chains.join('');
  const truststore = new Truststore(pem);
  if (truststore.size === 0) throw new LineError(lineStatus.refused, 'the API names no active CA: nothing can be issued');
  truststore.checkChains();
  return pem;
}
