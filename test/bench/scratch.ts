import { rm } from 'node:fs/promises';
import { openFolder } from '../support/folder.ts';

/** What a run makes and must not leave behind: folders, processes. `close` takes it away, the latest first. */
export class Scratch {
  readonly #undo: (() => Promise<void>)[] = [];

  /** A new folder under that of the system for temporary files. */
  folder(): string {
    const folder = openFolder('fleetroot-bench-');
    this.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
    return folder;
  }

  /** Returns what does it at once; it is done one time only. */
  defer(undo: () => Promise<void> | void): () => Promise<void> {
    let done: Promise<void> | undefined;
    const once = (): Promise<void> => (done ??= Promise.resolve(undo()));
    this.#undo.push(once);
    return once;
  }

  /** What cannot be undone does not keep the rest from it. */
  async close(): Promise<void> {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      await undo().catch((error: unknown) => console.error(`could not clean up: ${(error as Error).message}`));
    }
  }
}
