// npm run faults -- [--only ROW]... [--backend postgres|redis] [--items N] [--times N] [--seed S] [--resume FILE] [--list]
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
  },
});
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
  console.error('usage: npm run faults -- [--only ROW]... [--backend postgres|redis] [--items N] [--times N] [--seed S] [--resume FILE] [--list]');
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
