import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

interface Flag {
  /** What stands behind it in the help; absent: nothing does, the flag is a switch. */
  readonly takes?: string;
  readonly least?: number;
  readonly most?: number;
  readonly fallback?: number;
  /** It takes some of these words, with commas between them; all of them where it is absent. */
  readonly among?: readonly string[];
  readonly meaning: string;
  /** Goes with this flag only. */
  readonly with?: string;
  /** Does not go with this one. */
  readonly without?: string;
}

const count = (meaning: string, fallback: number | undefined, most: number, more: Partial<Flag> = {}): Flag =>
  ({ takes: 'N', least: 1, most, meaning, ...(fallback === undefined ? {} : { fallback }), ...more });

const MOST_ITEMS = 1_000_000;
const items = count('items of the batch', 20_000, MOST_ITEMS);
/** As `fleetroot up` allows with its own PostgreSQL. */
const issuers = count('issuer processes', Math.min(availableParallelism(), 8), 8);
/** Names and values of what was asked for; a switch that is absent is false, a number without default undefined. */
export type Values = Readonly<Record<string, Value>>;
type Value = number | boolean | readonly string[] | undefined;

interface Bench {
  readonly what: string;
  readonly flags: Readonly<Record<string, Flag>>;
  /** What is wrong with values that are right by themselves. */
  readonly wrong?: (values: Values) => string | undefined;
}

const revocationParts = ['ocsp', 'batch', 'visible', 'publish', 'filter'] as const;
export type RevocationPart = (typeof revocationParts)[number];

export const benches = {
  x509: {
    what: 'the hot paths of the library in one process, no HSM, no database',
    flags: { entries: count('entries of the CRL that is written', 1_000_000, 10_000_000) },
  },
  hsm: {
    what: 'our signer beside a bare loop of C_SignInit and C_Sign',
    flags: { rounds: count('rounds that the medians are of', 100, 10_000) },
  },
  batch: {
    what: 'REST in to certificates out, beside the floor: rate, processor time by component, memory',
    flags: {
      items,
      issuers: { ...issuers, without: 'curve' },
      redis: { meaning: 'the queue lies in a Redis of the run\'s own' },
      curve: { meaning: 'the rate with 1, 2 and 4 issuers, as it is and with the other parts discounted; a batch of --items each', without: 'prefill' },
      prefill: count('the same batch on an empty ledger and on one of N certificates, and the seconds of both to start', undefined, 100_000_000),
    },
  },
  single: {
    what: 'POST /v1/certificates at a steady rate: latency',
    flags: {
      rate: count('requests a second (20 during a batch, else 50)', undefined, 1_000, { takes: 'R' }),
      seconds: count('how long', 20, 86_400, { takes: 'S', without: 'during-batch' }),
      issuers,
      'during-batch': { meaning: 'as long as a batch of --items runs' },
      items: { ...items, fallback: 100_000, with: 'during-batch' },
    },
  },
  revocation: {
    what: 'OCSP beside its floors and beside a batch, how soon a revocation is seen, CRLs and the filter of a large ledger',
    flags: {
      only: { takes: 'PART,...', among: revocationParts, meaning: 'these parts alone' },
      seconds: count('how long each rate is measured', 4, 600, { takes: 'S' }),
      items: count('certificates of the batch that OCSP is asked beside', 50_000, MOST_ITEMS),
      known: count('certificates of the large ledger, of the parts publish and filter', 10_000_000, 100_000_000, { least: 10_000 }),
      revoked: count('revoked certificates, of the parts visible, publish and filter', 1_000_000, 10_000_000, { least: 100 }),
    },
    wrong: ({ only, known, revoked }) => {
      const inLedger = ['publish', 'filter'].some((part) => (only as readonly string[]).includes(part));
      return inLedger && Number(revoked) > Number(known) / 2 ? `--revoked takes at most half of --known, ${Number(known) / 2}` : undefined;
    },
  },
  revoke: {
    what: 'one revocation of many certificates, with the worker killed in the middle: time, memory, transactions, and what relying parties notice',
    flags: { targets: count('certificates that it is about', 1_000_000, MOST_ITEMS, { least: 1_000 }) },
  },
  authorize: {
    what: 'what a gateway\'s question about a client certificate costs, beside a bare Fastify handler',
    flags: {
      certificates: count('certificates that are asked about', 2_000, 100_000, { least: 10 }),
      seconds: count('how long each figure is measured', 5, 3_600, { takes: 'S' }),
    },
  },
} as const satisfies Record<string, Bench>;

export type BenchName = keyof typeof benches;

export type CommandLine =
  | { readonly kind: 'help' }
  /** Something is wrong with it: what. */
  | { readonly kind: 'wrong'; readonly message: string }
  | { readonly kind: 'run'; readonly name: BenchName; readonly values: Values }
  /** Each with its defaults. */
  | { readonly kind: 'all' };

const flagsOf = (name: BenchName): Readonly<Record<string, Flag>> => benches[name].flags;

/** A word may be followed by flags; without one, every bench runs. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const [name, ...rest] = args;
  if (args.some((arg) => arg === '--help' || arg === '-h')) return { kind: 'help' };
  if (name === undefined) return { kind: 'all' };
  if (name.startsWith('-')) return wrong(`name a bench before ${name}: ${Object.keys(benches).join(', ')}`);
  if (!isBench(name)) return wrong(`there is no bench ${name}. There are: ${Object.keys(benches).join(', ')}`);
  const flags = flagsOf(name);
  try {
    const { positionals, values } = parseArgs({
      args: rest, allowPositionals: true,
      options: Object.fromEntries(Object.entries(flags).map(([flag, { takes }]) => [flag, { type: takes === undefined ? 'boolean' : 'string' } as const])),
    });
    if (positionals.length > 0) return wrong(`${positionals[0]} is one word too many (flags go behind --: npm run bench ${name} -- --items 5000)`);
    const asked = checked(flags, values);
    const bench: Bench = benches[name];
    const what = bench.wrong?.(asked);
    return what === undefined ? { kind: 'run', name, values: asked } : wrong(`bench ${name}: ${what}`);
  } catch (error) {
    return wrong(`bench ${name}: ${(error as Error).message.replace(/\. To specify.*$/s, '')}`);
  }
}

const isBench = (name: string): name is BenchName => Object.hasOwn(benches, name);

const wrong = (message: string): CommandLine => ({ kind: 'wrong', message });

function checked(flags: Readonly<Record<string, Flag>>, given: Readonly<Record<string, string | boolean | undefined>>): Values {
  const values: Record<string, Value> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const value = given[name];
    if (value !== undefined && flag.with !== undefined && given[flag.with] === undefined) throw new Error(`--${name} goes with --${flag.with} only`);
    if (value !== undefined && flag.without !== undefined && given[flag.without] !== undefined) throw new Error(`--${name} does not go with --${flag.without}`);
    values[name] = valueOf(name, flag, value);
  }
  return values;
}

function valueOf(name: string, flag: Flag, given: string | boolean | undefined): Value {
  if (flag.takes === undefined) return given === true;
  if (flag.among !== undefined) return given === undefined ? flag.among : some(name, flag.among, String(given));
  return given === undefined ? flag.fallback : whole(name, flag, String(given));
}

function some(name: string, among: readonly string[], text: string): readonly string[] {
  const words = text.split(',');
  const unknown = words.find((word) => !among.includes(word));
  if (unknown !== undefined) throw new Error(`--${name} takes words of ${among.join(', ')}, with commas between them, not ${unknown}`);
  return words;
}

function whole(name: string, { least = 0, most = Infinity }: Flag, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) throw new Error(`--${name} takes a whole number from ${least} to ${most}, not ${text}`);
  return value;
}

export function help(): string {
  const lines = Object.entries(benches as Record<string, Bench>).flatMap(([name, { what, flags }]) => ['', `${name}: ${what}`, ...Object.entries(flags).map(([flag, f]) => {
    const left = `  --${flag}${f.takes === undefined ? '' : ` ${f.takes}`}`;
    return `${left.padEnd(20)}${f.meaning}${f.among === undefined ? '' : `, of ${f.among.join(', ')}; without it all`}${f.fallback === undefined ? '' : ` (default ${f.fallback})`}${f.with === undefined ? '' : `; with --${f.with}`}`;
  })]);
  return [
    'npm run bench [BENCH] -- [FLAGS]', '',
    'Prints a table and, as its last line, one JSON object. Without BENCH each runs with its defaults.',
    'How each figure is made: docs/performance.md.', ...lines,
  ].join('\n');
}
