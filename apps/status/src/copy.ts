import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { tagOf } from './caching.ts';

const compress = promisify(gzip);

/** Fewer octets than a packet's are not worth it. */
const LEAST = 1000;
/** Compressed while the first who asks waits; what is larger is sent to him as it is. */
const WAITS_UP_TO = 1 << 20;
/** Serial numbers are random: what saves less than a tenth is left. */
const WORTH = 0.9;

/** Octets in memory, that never change, and their gzip from when somebody first asked for it. */
export class Copy {
  readonly octets: Uint8Array;
  /** Strong. */
  readonly etag: string;
  /** Of the gzip, which is another representation. */
  readonly gzipTag: string;
  readonly #grown: (by: number) => void;
  #zipped: Uint8Array | undefined;
  #zipping: Promise<Uint8Array | undefined> | undefined;

  /** @param grown told how many octets the gzip takes, once it is there */
  constructor(octets: Uint8Array, grown: (by: number) => void = () => undefined, sha256: Uint8Array = hash('sha256', octets, 'buffer')) {
    this.octets = octets;
    this.etag = tagOf(sha256);
    this.gzipTag = tagOf(sha256, '-gz');
    this.#grown = grown;
  }

  get held(): number {
    return this.octets.length + (this.#zipped?.length ?? 0);
  }

  get wasAskedForGzip(): boolean {
    return this.#zipping !== undefined;
  }

  /** undefined where it is of no use, or not ready yet. */
  async gzip(): Promise<Uint8Array | undefined> {
    if (this.octets.length < LEAST) return undefined;
    this.#zipping ??= this.#compress();
    return this.octets.length <= WAITS_UP_TO ? this.#zipping : this.#zipped;
  }

  async #compress(): Promise<Uint8Array | undefined> {
    const zipped = await compress(this.octets).catch(() => undefined);
    if (zipped === undefined || zipped.length > this.octets.length * WORTH) return undefined;
    this.#zipped = zipped;
    this.#grown(zipped.length);
    return zipped;
  }
}
