import { Worker } from 'node:worker_threads';
import type { PlannedEcu } from '../vehicles.ts';
import type { CheckTask, Done, MadeRequest, MakeTask } from './workshop-worker.ts';

/** Makes keys and requests, and checks certificates, in threads of its own. */
export class Workshop {
  readonly #workers: readonly Worker[];
  readonly #waiting = new Map<number, { readonly resolve: (done: Done) => void; readonly reject: (error: Error) => void }>();
  #next = 0;

  /** @param truststore PEM of the CAs that certificates must come from */
  constructor(threads: number, truststore: string) {
    const fromSource = import.meta.url.endsWith('.ts');
    const entry = new URL(fromSource ? './workshop-worker.ts' : './workshop-worker.js', import.meta.url);
    this.#workers = Array.from({ length: threads }, () => {
      const worker = new Worker(entry, { workerData: truststore });
      worker.on('message', (done: Done) => {
        this.#waiting.get(done.id)?.resolve(done);
        this.#waiting.delete(done.id);
      });
      worker.on('error', (error: Error) => {
        for (const { reject } of this.#waiting.values()) reject(error);
        this.#waiting.clear();
      });
      return worker;
    });
  }

  async make(ecus: readonly PlannedEcu[]): Promise<readonly MadeRequest[]> {
    const done = await this.#run({ kind: 'make', id: this.#next, ecus });
    return 'made' in done ? done.made : [];
  }

  /** What is wrong with the certificate; undefined: nothing. */
  async check(spkiDer: Uint8Array, certificate: Uint8Array | string): Promise<string | undefined> {
    const done = await this.#run({ kind: 'check', id: this.#next, spkiDer, certificate });
    return 'fault' in done ? done.fault : undefined;
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #run(task: MakeTask | CheckTask): Promise<Done> {
    const worker = this.#workers[this.#next % this.#workers.length];
    this.#next += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(task.id, { resolve, reject });
      // The rule means windows; threads have no origin.
      // oxlint-disable-next-line unicorn/require-post-message-target-origin
      worker?.postMessage(task);
    });
  }
}
