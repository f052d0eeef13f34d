// Requests of many ECUs, each with a key of its own, in files: made once a run, by processes of their own.
import { fork } from 'node:child_process';
import { closeSync, createReadStream, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { showing } from './bar.ts';
import { ecuRequest, ecuSerialOf } from './requests.ts';
import type { Scratch } from './scratch.ts';

/** Lines of NDJSON as `POST /v1/batches` takes them; item i is of the ECU `ecuSerialOf(run, i)`. */
export interface RequestFile {
  readonly run: string;
  readonly count: number;
  /** One after the other they are the body. */
  readonly parts: readonly string[];
}

interface Task {
  readonly run: string;
  readonly from: number;
  readonly to: number;
  readonly file: string;
}

const PROCESSES = 2;
/** Lines that are written, and told of, at once. */
const PAGE = 200;

let files = 0;

/** Makes `count` P-256 requests, with a bar. The files go with `scratch`. */
export async function makeRequests(scratch: Scratch, count: number, what = 'requests made'): Promise<RequestFile> {
  const folder = scratch.folder();
  const run = `${Date.now().toString(36).toUpperCase()}${files++}`;
  const processes = count < 2 * PAGE ? 1 : PROCESSES;
  const tasks = Array.from({ length: processes }, (_, i): Task => ({
    run, from: Math.floor((i * count) / processes), to: Math.floor(((i + 1) * count) / processes), file: join(folder, `requests-${i}.ndjson`),
  }));
  await showing(count, what, (onDone) => Promise.all(tasks.map((task) => inProcess(scratch, task, onDone))));
  return { run, count, parts: tasks.map(({ file }) => file) };
}

function inProcess(scratch: Scratch, task: Task, onMade: (count: number) => void): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['request-maker']);
  scratch.defer(() => void child.kill());
  return new Promise((resolve, reject) => {
    child.on('message', (made) => onMade(made as number));
    child.once('error', reject);
    child.once('exit', (status) => (status === 0 ? resolve() : reject(new Error(`a process that made requests ended with ${status}`))));
    child.send(task);
  });
}

/** The octets of the body, as they are read. */
export async function* bodyOf({ parts }: RequestFile): AsyncGenerator<Buffer> {
  for (const part of parts) yield* createReadStream(part, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
}

/** The first `count` requests, PKCS#10 in base64. */
export async function firstRequests({ parts }: RequestFile, count: number): Promise<string[]> {
  const requests: string[] = [];
  for (const part of parts) {
    const lines = createInterface({ input: createReadStream(part) });
    for await (const line of lines) {
      requests.push((JSON.parse(line) as { csr: string }).csr);
      if (requests.length === count) return requests;
    }
  }
  return requests;
}

async function write({ run, from, to, file }: Task): Promise<void> {
  const descriptor = openSync(file, 'wx', 0o600);
  for (let next = from; next < to; next += PAGE) {
    const end = Math.min(to, next + PAGE);
    let lines = '';
    for (let i = next; i < end; i++) {
      const { ecuSerial, partNumber, csr } = await ecuRequest(ecuSerialOf(run, i));
      lines += `${JSON.stringify({ ecuSerial, partNumber, csr: Buffer.from(csr).toString('base64') })}\n`;
    }
    writeSync(descriptor, lines);
    process.send?.(end - next);
  }
  closeSync(descriptor);
}

if (process.argv[2] === 'request-maker') {
  process.once('message', (task) => {
    // The channel is all that keeps this process alive: without it nobody waits for the file.
    process.once('disconnect', () => process.exit(1));
    void write(task as Task).then(() => process.exit(0));
  });
}
