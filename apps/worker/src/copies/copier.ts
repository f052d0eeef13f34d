import { hash } from 'node:crypto';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { decodeManifest, encodeManifest, type Listed, listed, MANIFEST } from './manifest.ts';
import type { CopyObject, CopyTarget } from './target.ts';

export interface CopyRound {
  readonly written: number;
  readonly octets: number;
  /** Paths that are not what is published. */
  readonly failed: number;
  /** Since every path was what is published, in seconds. */
  readonly behindSeconds: number;
}

/** So many failures in a row are the target's: the rest of the round is left for the next. */
const ENOUGH = 3;
/** The manifest says that the copies were looked at, also where nothing has changed. */
const SAY_EVERY_MS = 60_000;
/** Everything is looked at in the target again: somebody else may have been there. */
const FORGET_EVERY_MS = 3_600_000;
/** A failure that goes on is said again after so long. */
const AGAIN_MS = 60_000;

/**
 * Keeps one target what is published. What is not published any more stays: certificates may still point to it. May be cut
 * off anywhere: each object is whole, and the manifest, written last, lists nothing that does not lie there.
 */
export class Copier {
  readonly #target: CopyTarget;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** `of` of what lies there as it is published, by path. */
  readonly #done = new Map<string, string>();
  #entries: Map<string, Listed> | undefined;
  #saidAt = -Infinity;
  #lookedAt = performance.now();
  #completeAt: Date;
  #failedAt: number | undefined;

  constructor(target: CopyTarget, clock: Clock, logger: Logger) {
    this.#target = target;
    this.#clock = clock;
    this.#logger = logger;
    this.#completeAt = clock.now();
  }

  get name(): string {
    return this.#target.name;
  }

  /** Never throws: what fails is logged, and tried again in the next round. */
  async round(objects: readonly CopyObject[], signal: AbortSignal): Promise<CopyRound> {
    if (performance.now() - this.#lookedAt > FORGET_EVERY_MS) {
      this.#done.clear();
      this.#lookedAt = performance.now();
    }
    const done = { written: 0, octets: 0, failed: 0 };
    let failures = 0;
    let last: unknown;
    for (const object of objects) {
      if (signal.aborted) break;
      if (failures >= ENOUGH) {
        done.failed++;
        continue;
      }
      try {
        const octets = await this.#bring(object);
        failures = 0;
        if (octets === undefined) continue;
        done.written++;
        done.octets += octets;
      } catch (error) {
        failures++;
        done.failed++;
        last = error;
      }
    }
    if (!signal.aborted) last = await this.#say(done.written > 0, done.failed === 0).then(() => last, (error: unknown) => (done.failed++, error));
    this.#tell(done, last);
    return { ...done, behindSeconds: Math.max(0, (this.#clock.now().getTime() - this.#completeAt.getTime()) / 1000) };
  }

  /** Octets written; undefined where it lies there already. */
  async #bring(object: CopyObject): Promise<number | undefined> {
    const { path, of } = object;
    const target = this.#target;
    if (this.#done.get(path) === of && await target.isUntouched(path)) return undefined;
    this.#entries ??= decodeManifest(await target.get(MANIFEST));
    const lying = await target.look(path);
    if (object.crl !== undefined && lying?.number !== undefined && lying.number > object.crl.number) {
      this.#logger.error({ target: target.name, path, lies: String(lying.number), published: String(object.crl.number) },
        'a newer CRL lies in the copies than the ledger knows, and stays: is the ledger an older backup?');
      this.#done.set(path, of);
      return undefined;
    }
    if (lying !== undefined && object.sha256 !== undefined && lying.sha256 === object.sha256) {
      const entry = this.#entries.get(path);
      if (entry?.sha256 !== object.sha256) this.#entries.set(path, listed(object, object.sha256, (await target.get(path))?.length ?? 0));
      this.#done.set(path, of);
      return undefined;
    }
    const octets = await object.read();
    if (octets === undefined) return undefined;
    const sha256 = hash('sha256', octets);
    if (object.sha256 !== undefined && sha256 !== object.sha256) throw new Error(`${path} is not the object whose SHA-256 is on record`);
    const isThere = lying?.sha256 === sha256;
    if (!isThere && !await target.put(object, octets, sha256, lying)) throw new Error(`somebody else has written ${path} meanwhile`);
    this.#entries.set(path, listed(object, sha256, octets.length));
    this.#done.set(path, of);
    return isThere ? undefined : octets.length;
  }

  async #say(changed: boolean, complete: boolean): Promise<void> {
    await this.#target.settle();
    if (complete) this.#completeAt = this.#clock.now();
    if (this.#entries === undefined || (!changed && performance.now() - this.#saidAt < SAY_EVERY_MS)) return;
    const octets = encodeManifest(this.#entries.values(), this.#clock.now(), complete);
    const manifest = { path: MANIFEST, contentType: 'application/json', crl: undefined };
    if (await this.#target.put(manifest, octets, hash('sha256', octets), await this.#target.look(MANIFEST))) this.#saidAt = performance.now();
    await this.#target.settle();
  }

  #tell(done: { readonly written: number; readonly octets: number; readonly failed: number }, error: unknown): void {
    const target = this.#target.name;
    if (done.failed > 0) {
      if (this.#failedAt !== undefined && performance.now() - this.#failedAt < AGAIN_MS) return;
      this.#failedAt = performance.now();
      this.#logger.error({ target, ...done, completeAt: this.#completeAt.toISOString(), err: error }, 'the copies of what is published are not complete; tried again');
      return;
    }
    if (this.#failedAt !== undefined) this.#logger.info({ target }, 'the copies of what is published are complete again');
    this.#failedAt = undefined;
    if (done.written > 0) this.#logger.info({ target, written: done.written, octets: done.octets }, 'what is published was copied');
  }
}
