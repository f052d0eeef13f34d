// npm run bench -- --help
import { constants } from 'node:os';
import { benchAuthorize } from './authorize.ts';
import { benchBatch } from './batch.ts';
import { type BenchName, benches, help, parseCommandLine, type RevocationPart, type Values } from './command-line.ts';
import { benchCurve } from './curve.ts';
import { benchHsm } from './hsm.ts';
import { benchLargeRevocation } from './large-revocation.ts';
import { benchPrefilled } from './prefilled.ts';
import { benchRevocation } from './revocation.ts';
import { Scratch } from './scratch.ts';
import { benchSingle, benchSingleDuringBatch } from './single.ts';
import { benchX509 } from './x509.ts';

const scratch = new Scratch();

const number = (values: Values, name: string): number => Number(values[name]);

function run(name: BenchName, values: Values): Promise<void> {
  switch (name) {
    case 'x509': return benchX509(scratch, number(values, 'entries'));
    case 'hsm': return benchHsm(scratch, number(values, 'rounds'));
    case 'batch': return runBatch(values);
    case 'revocation': return benchRevocation(scratch, new Set(values['only'] as readonly RevocationPart[]), {
      seconds: number(values, 'seconds'), items: number(values, 'items'), known: number(values, 'known'), revoked: number(values, 'revoked'),
    });
    case 'revoke': return benchLargeRevocation(scratch, number(values, 'targets'));
    case 'authorize': return benchAuthorize(scratch, number(values, 'certificates'), number(values, 'seconds'));
    case 'single': {
      const { rate, 'during-batch': duringBatch } = values;
      return duringBatch === true
        ? benchSingleDuringBatch(scratch, Number(rate ?? 20), number(values, 'items'), number(values, 'issuers'))
        : benchSingle(scratch, Number(rate ?? 50), number(values, 'seconds'), number(values, 'issuers'));
    }
  }
}

function runBatch(values: Values): Promise<void> {
  const [items, issuers, redis] = [number(values, 'items'), number(values, 'issuers'), values['redis'] === true];
  if (values['curve'] === true) return benchCurve(scratch, items, redis);
  if (values['prefill'] !== undefined) return benchPrefilled(scratch, items, issuers, number(values, 'prefill'), redis);
  return benchBatch(scratch, items, issuers, redis);
}

/** Takes away what the run has made; a second signal does not wait for it. */
let stopping = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  let first = 0;
  process.on(signal, () => {
    const status = 128 + constants.signals[signal];
    // npm hands a Ctrl-C on to its child, which the terminal has told already.
    if (stopping && performance.now() - first > 1_000) process.exit(status);
    if (stopping) return;
    stopping = true;
    first = performance.now();
    console.error('\nstopping, and taking away what the run has made ...');
    void scratch.close().then(() => process.exit(status));
  });
}

const line = parseCommandLine(process.argv.slice(2));
if (line.kind === 'help') {
  console.log(help());
} else if (line.kind === 'wrong') {
  console.error(`${line.message}\nnpm run bench -- --help names every flag.`);
  process.exitCode = 2;
} else {
  // x509 is the first: it compares its memory with that of an idle process.
  const names = line.kind === 'run' ? [line.name] : (Object.keys(benches) as BenchName[]);
  try {
    for (const name of names) {
      const parsed = line.kind === 'run' ? line : parseCommandLine([name]);
      if (parsed.kind === 'run') await run(name, parsed.values);
      await scratch.close();
    }
  } catch (error) {
    // What fails while all is being taken away fails because of that.
    if (!stopping) {
      console.error(`bench: ${(error as Error).stack ?? error}`);
      await scratch.close();
      process.exit(1);
    }
  }
}
