// npm run fuzz -- [--minutes N] [--seed S]
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCorpus } from './corpus.ts';
import { fileNameOf } from './engine.ts';
import { targets } from './targets.ts';
import { fuzzWatched, type Summary } from './watched.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' }, seed: { type: 'string' }, out: { type: 'string', default: 'fuzz-findings' },
    'limit-ms': { type: 'string', default: '50' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 2 ** 32);
const limitMs = Number(values['limit-ms']);
if (!(minutes > 0) || !Number.isInteger(seed) || !(limitMs > 0)) {
  console.error('usage: npm run fuzz -- [--minutes N] [--seed S, a whole number] [--out FOLDER] [--limit-ms CPU]');
  process.exit(2);
}

let findings = 0;
let nextLine = 0;
const show = ({ runs, tallies }: Summary, last = false): void => {
  if (!last && performance.now() < nextLine) return;
  nextLine = performance.now() + 10_000;
  const each = Object.entries(tallies).map(([name, { accepted, slowestMs }]) => `${name} ${accepted} taken, ${slowestMs.toFixed(0)} ms`);
  console.log(`${(performance.now() / 60_000).toFixed(1)} min  ${runs} inputs  ${findings} findings  | ${each.join(' | ')}`);
};

console.log(`seed ${seed}, ${minutes} minutes, at most ${limitMs} ms of CPU for an input`);
const names = targets(readCorpus()).map(({ name }) => name);
const summary = await fuzzWatched({ seed, rounds: Infinity, forMs: minutes * 60_000, limitMs }, names, {
  onFinding: (finding) => {
    findings++;
    mkdirSync(values.out, { recursive: true });
    const path = join(values.out, fileNameOf(finding));
    writeFileSync(path, finding.input);
    writeFileSync(`${path}.txt`, `seed ${seed}, target ${finding.target}\n${finding.what}\n`);
    console.log(`FINDING ${path}: ${finding.what.split('\n', 1)[0]}`);
  },
  onProgress: (progress) => show(progress),
});
if (summary !== undefined) show(summary, true);
console.log(findings === 0 ? 'nothing found' : `${findings} findings in ${values.out}: each with a .txt that says what it did`);
process.exit(findings === 0 && summary !== undefined ? 0 : 1);
