import type { Profile, Upload, UploadLedger } from '@fleetroot/authority';
import { type Breath, PkiError } from '@fleetroot/core';
import { Intake, type IntakeRules } from '../batches/intake.ts';
import { sentItemOfLine } from '../batches/item.ts';
import { LineSplitter } from '../batches/line-splitter.ts';
import { digestWith } from './line-digest.ts';

/** Takes the parts of uploads in, a chunk at a time: what broke off is gone on with from the last whole chunk. */
export class UploadReception {
  readonly #uploads: UploadLedger;
  readonly #rules: IntakeRules;
  readonly #breath: Breath;

  constructor(uploads: UploadLedger, rules: IntakeRules, breath: Breath) {
    this.#uploads = uploads;
    this.#rules = rules;
    this.#breath = breath;
  }

  /**
   * One item a line, from where the upload stands. Reads as fast as the ledger writes; on return all of it is durable.
   * Where it throws, the chunks before stay, and `UploadLedger.read` tells how many items that is.
   * @throws PkiError `upload.offset`, `upload.accepted`, `batch.*`, and what reading `body` throws
   */
  async receive(upload: Upload, profile: Profile, body: AsyncIterable<Buffer>): Promise<void> {
    let at = { received: upload.received, digest: upload.digest };
    let { digest } = at;
    const intake = new Intake(async (items, failures) => {
      const from = at;
      at = { received: from.received + items.length + failures.length, digest };
      await this.#uploads.append(upload.id, from, { items, failures, digest });
    }, profile, this.#rules, upload.received);
    const add = async (line: Buffer, number: number): Promise<void> => {
      if (intake.full) await intake.write();
      intake.add(sentItemOfLine(line, number));
      digest = digestWith(digest, line);
    };
    const splitter = new LineSplitter();
    try {
      for await (const chunk of body) {
        await this.#breath.taken();
        for (const line of splitter.push(chunk)) await add(line, splitter.number);
      }
      for (const line of splitter.end()) await add(line, splitter.number);
      await intake.finish();
    } catch (error) {
      // A chunk that is being written goes on to its end: the answer must not come before it.
      await intake.settle();
      throw error;
    }
  }

  /** @throws PkiError where a part that begins at `from` cannot be taken */
  requirePlace({ state, received }: Upload, from: number): void {
    if (from !== received) throw new PkiError('upload.offset', `the upload has ${received} items: go on with ?from=${received}`, { data: { received } });
    if (state !== 'receiving') throw new PkiError('upload.accepted', 'the upload was accepted: it takes no more items');
  }
}
