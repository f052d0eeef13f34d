import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { stopWish } from '../../up/signals.ts';
import { lineStatus, type LineStatus, wrongUse } from '../batch/line-error.ts';
import { refused } from '../batch/patience.ts';
import { type ConnectionFlags, connectionOf, tokenIn, withConnectionFlags } from '../connection.ts';
import { duration } from '../pace.ts';
import { ApiRefusal, RestClient } from '../rest.ts';
import { table } from './figures.ts';
import { factor, type LinePlan, range, time, whole } from './options.ts';
import { simulate, type Simulation } from './run.ts';
import type { Mode } from './station.ts';

interface SimulateFlags extends ConnectionFlags, LinePlan {
  readonly stationTokenFile?: string[];
  readonly mode: Mode;
  readonly profile: string;
  readonly ca?: string;
  readonly p99Limit?: number;
  readonly threads: number;
  readonly json: boolean;
}

const HELP = `
Each station does one car a takt; the ECUs of a car ask in bursts spread over it. A latency counts from the moment at which
a request was due until its certificate was there; then key and chain are checked. A car whose last certificate came after
the takt, or not at all, missed it. The ECUs are put on record: run it against an installation for trials.

Exit status:
  0  every certificate came, good, and within the limit
  1  a request went wrong, or the limit was passed
  2  wrong use
  3  it could not be finished
  4  the API refused: told with its code and what to do`;

export function simulateCommand(ended: (json: boolean, work: () => Promise<LineStatus>) => Promise<void>): Command {
  return withConnectionFlags(new Command('simulate'))
    .description('act as a production line, and measure what its stations wait for')
    .option('--stations <n>', 'stations', whole(1, 1_000), 20)
    .option('--takt <time>', 'in which a station does one car', time, 60_000)
    .option('--ecus <range>', 'ECUs of a car', range, { least: 60, most: 100 })
    .option('--burst <n>', 'ECUs of a car that ask at the same moment', whole(1, 1_000), 5)
    .option('--duration <time>', 'how long it is measured', time, 300_000)
    .option('--warm-up <time>', 'how long it runs before that', time, 0)
    .option('--speed <factor>', 'how much faster than a real line the clock goes', factor, 1)
    .option('--seed <n>', 'of the mix: the same seed builds the same cars', whole(0, 999_999_999), 1)
    .addOption(new Option('--mode <mode>', 'a request for each ECU, or a small batch for each burst').choices(['single', 'batch']).default('single'))
    .option('--profile <name>', 'what the certificates are for', 'ecu-client')
    .option('--ca <name>', 'CA that is to issue (default: the API chooses)')
    .option('--station-token-file <file...>', 'tokens of stations that are principals of their own; they share them in turn', (text: string, before: string[] | undefined) => [...(before ?? []), resolve(text)])
    .option('--p99-limit <ms>', 'exit status 1 where the p99 of all stations is above it', whole(1, 3_600_000))
    .option('--threads <n>', 'that make keys and check certificates', whole(1, 64), Math.max(1, availableParallelism() - 1))
    .option('--json', 'for machines: one JSON object', false)
    .addHelpText('after', HELP)
    .action((flags: SimulateFlags) => ended(flags.json, () => run(flags)));
}

async function run(flags: SimulateFlags): Promise<LineStatus> {
  if (flags.stations * Math.ceil((flags.warmUp + flags.duration) / flags.takt) > 999_999) throw wrongUse('a line builds at most 999,999 cars: make it shorter, or take fewer stations');
  const wish = stopWish(() => process.exit(lineStatus.unfinished));
  try {
    const clients = clientsOf(flags, wish.signal);
    const say = flags.json ? () => undefined : (line: string): void => console.log(line);
    const simulation = await simulate({ ...flags, plan: flags, clients, ca: flags.ca, signal: wish.signal, say });
    return tell(simulation, flags);
  } catch (error) {
    throw error instanceof ApiRefusal ? refused(error) : error;
  } finally {
    wish.dispose();
  }
}

function clientsOf(flags: SimulateFlags, signal: AbortSignal): [RestClient, ...RestClient[]] {
  const [first, ...rest] = flags.stationTokenFile ?? [];
  const { api, token } = connectionOf(first === undefined ? flags : { ...flags, tokenFile: first });
  return [new RestClient(api, token, signal), ...rest.map((file) => new RestClient(api, tokenIn(file), signal))];
}

function tell({ all, stations, seconds }: Simulation, flags: SimulateFlags): LineStatus {
  const { p99Limit: limit, json, speed, seed, mode } = flags;
  const tooSlow = limit !== undefined && (all.latency === null || all.latency.p99 > limit);
  const wrong = Object.keys(all.errors).length > 0;
  if (json) {
    console.log(JSON.stringify({ event: 'simulation', mode, seed, speed, seconds, p99LimitMs: limit ?? null, withinLimit: !tooSlow, all, stations }));
  } else {
    for (const line of table([...stations, all])) console.log(line);
    const measured = Math.max(0.001, seconds - flags.warmUp / speed / 1000);
    console.log(`${all.certificates} certificates in ${duration(measured)}${speed === 1 ? '' : `, ${speed} times as fast as the line`}, ${(all.certificates / measured).toFixed(1)}/s`);
    if (tooSlow) console.log(`p99 is above the limit of ${limit} ms`);
  }
  return tooSlow || wrong ? lineStatus.someFailed : lineStatus.ok;
}
