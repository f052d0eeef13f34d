import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { lines } from '../support/faults.ts';
import { table } from './report.ts';
import { rows } from './rows.ts';
import { type RowResult, runRow } from './run.ts';
import { type Backend, Site } from './site.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true }, backend: { type: 'string', multiple: true }, items: { type: 'string', default: '20000' },
    times: { type: 'string' }, seed: { type: 'string' }, resume: { type: 'string' }, list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const USAGE = `npm run faults -- [options]: puts faults into a running product, and looks at everything afterwards

  --only ROW      this row, or all that begin with ROW: (may be given more than once); default all
  --backend NAME  postgres or redis; default both
  --items N       items of each batch, 100 at least; default 20000
  --times N       so often each fault, at most; default as often as the row says
  --seed N        of the moments and places; default from the clock, and printed
  --resume FILE   a line of JSON for each row that has ended; rows that stand in it are not run again
  --list          the rows

Exit status: 0 all that ran holds, 1 something is broken, 2 wrong use.`;
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const items = Number(values.items);
const seed = Number(values.seed ?? Date.now() % 2 ** 32);
const times = values.times === undefined ? undefined : Number(values.times);
const chosen = rows.filter(({ id }) => values.only === undefined || values.only.some((name) => id === name || id.startsWith(`${name}:`)));
const backends = (values.backend ?? ['postgres', 'redis']) as Backend[];
if (values.list) {
  for (const row of rows) console.log(`${row.id.padEnd(32)} ${row.title}`);
  process.exit(0);
}
if (!Number.isInteger(items) || items < 100 || !Number.isInteger(seed) || (times !== undefined && !(times > 0)) || chosen.length === 0
  || backends.some((backend) => backend !== 'postgres' && backend !== 'redis')) {
  console.error(USAGE);
  process.exit(2);
}

/** What an earlier run wrote to the file, a line a row. */
const before: RowResult[] = values.resume !== undefined && existsSync(values.resume)
  ? readFileSync(values.resume, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as RowResult) : [];
const work = backends.flatMap((backend) => chosen.filter((row) => row.backend === undefined || row.backend === backend).map((row) => ({ row, backend })))
  .filter(({ row, backend }) => !before.some((result) => result.row === row.id && result.backend === backend));

/** Takes away what the row has made, PostgreSQL above all; a second signal does not wait for it. */
let stoppedAt: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    const status = 128 + constants.signals[signal];
    // npm hands a Ctrl-C on to its child, which the terminal has told already.
    if (stoppedAt !== undefined && performance.now() - stoppedAt > 1000) process.exit(status);
    if (stoppedAt !== undefined) return;
    stoppedAt = performance.now();
    console.error('\nstopping, and taking away what the row has made ...');
    void Site.closeAll().catch((error: unknown) => console.error(`could not be cleaned up: ${String(error)}`)).then(() => process.exit(status));
  });
}

console.log(`seed ${seed}, ${items} items a batch, ${work.length} rows to run, ${before.length} run before`);
const body = work.length === 0 ? '' : await lines('ECU', items);
const results = [...before];
const began = performance.now();
for (const [i, { row, backend }] of work.entries()) {
  const say = (line: string): void => console.log(`  ${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${row.id} (${backend}): ${line}`);
  say(`${i + 1} of ${work.length}: ${row.title}`);
  // Each row by itself, and the same whichever others run with it.
  const result = await runRow(row, { backend, seed: seed + rows.indexOf(row), times: Math.min(row.times, times ?? row.times), body: { text: body, items }, say });
  // What a row says that was stopped means nothing; its end is that of the process.
  if (stoppedAt !== undefined) await new Promise(() => undefined);
  say(result.verdict);
  for (const breach of result.breaches) say(`  ${breach}`);
  results.push(result);
  if (values.resume !== undefined) appendFileSync(values.resume, `${JSON.stringify(result)}\n`);
}
console.log(`\n${table(results)}`);
console.log(JSON.stringify({ seed, items, results }));
process.exitCode = results.some(({ verdict }) => verdict === 'broken') ? 1 : 0;
