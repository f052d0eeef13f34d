import { parentPort, workerData } from 'node:worker_threads';
import { readCorpus } from './corpus.ts';
import { fuzz, type Progress } from './engine.ts';
import { targets } from './targets.ts';
import { type Job, type Message, SHARED_HEADER, SHARED_OCTETS, type Summary } from './watched.ts';

// The thread that fuzzWatched starts.
const { job, shared } = workerData as { job: Job; shared: SharedArrayBuffer };
const words = new Int32Array(shared, 0, 3);
const room = new Uint8Array(shared, SHARED_HEADER);
const list = targets(readCorpus());
const places = new Map(list.map(({ name }, place): [string, number] => [name, place]));
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
const post = (message: Message): void => parentPort?.postMessage(message);
const summary = ({ runs, tallies }: Progress): Summary => ({ runs, tallies: Object.fromEntries(tallies) });
const end = performance.now() + job.forMs;
let accepted = 0;

const done = fuzz({
  targets: list, seed: job.seed, rounds: job.rounds, until: () => performance.now() > end, limitMs: job.limitMs,
  before: (target, input) => {
    words[1] = places.get(target) ?? -1;
    words[2] = Math.min(input.length, SHARED_OCTETS - SHARED_HEADER);
    room.set(input.subarray(0, words[2]));
    Atomics.add(words, 0, 1);
  },
  onFinding: (finding) => post({ kind: 'finding', finding }),
  // One in 10 is enough for a judge that takes a process for each.
  onAccepted: (target, input) => { if (accepted++ % 10 === 0) post({ kind: 'accepted', target, input }); },
  onProgress: (progress) => post({ kind: 'progress', summary: summary(progress) }),
});
post({ kind: 'done', summary: summary(done) });
