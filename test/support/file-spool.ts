import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import type { CrlSpool } from '@fleetroot/x509';

/** The entries of one CRL in a file, which `close` removes. */
export class FileSpool implements CrlSpool {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'wx+', 0o600);
  }

  append(octets: Uint8Array): void {
    writeSync(this.#file, octets);
  }

  *read(): Generator<Uint8Array> {
    // One buffer for all chunks would change under whoever keeps one.
    for (let offset = 0; ;) {
      const chunk = new Uint8Array(1 << 16);
      const octets = readSync(this.#file, chunk, 0, chunk.length, offset);
      if (octets === 0) return;
      offset += octets;
      yield chunk.subarray(0, octets);
    }
  }

  close(): void {
    closeSync(this.#file);
    rmSync(this.#path);
  }
}
