import type { AskedSerial, StoredAnswer } from '@fleetroot/ocsp';

type NewAnswer = StoredAnswer & AskedSerial;

/** Answers that wait at most; the table is never the only copy, and one that is lost is signed again. */
const WAITING = 5000;
const AT_ONCE = 200;
const EVERY_MS = 50;

/** Writes new answers into the table, many a statement, behind the back of who asked for them. */
export class OcspKeeping {
  readonly #store: (answers: readonly NewAnswer[]) => Promise<void>;
  #waiting: NewAnswer[] = [];
  #writing: Promise<void> | undefined;

  constructor(store: (answers: readonly NewAnswer[]) => Promise<void>) {
    this.#store = store;
  }

  add(answers: readonly NewAnswer[]): void {
    if (this.#waiting.length + answers.length > WAITING) return;
    this.#waiting.push(...answers);
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** What waits is written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      await this.#store(this.#waiting.splice(0, AT_ONCE)).catch(() => undefined);
    }
  }
}
