// npm run bench [x509|hsm|batch|single] -- [--items N] [--issuers P] [--rate R] [--seconds S] [--entries N] [--rounds N]
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { benchBatch } from './batch.ts';
import { benchHsm } from './hsm.ts';
import { benchSingle } from './single.ts';
import { benchX509 } from './x509.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    items: { type: 'string', default: '20000' },
    issuers: { type: 'string', default: String(availableParallelism()) },
    rate: { type: 'string', default: '50' },
    seconds: { type: 'string', default: '20' },
    entries: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '100' },
  },
});
const benches: Record<string, () => Promise<void>> = {
  // First: it compares its memory with that of an idle process.
  x509: () => benchX509(Number(values.entries)),
  hsm: () => benchHsm(Number(values.rounds)),
  batch: () => benchBatch(Number(values.items), Number(values.issuers)),
  single: () => benchSingle(Number(values.rate), Number(values.seconds)),
};
const chosen = positionals.length > 0 ? positionals : Object.keys(benches);
for (const name of chosen) {
  const bench = benches[name];
  if (bench === undefined) {
    console.error(`There is no bench ${name}. There are: ${Object.keys(benches).join(', ')}.`);
    process.exit(2);
  }
  await bench();
}
