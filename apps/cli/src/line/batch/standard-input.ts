import { createHash } from 'node:crypto';
import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Keeps what comes from standard input in a file of `folder`, since a run that goes on must read it again. The name is made
 * of the contents: the same input finds the same batch. It may hold VINs, and is for its owner alone.
 */
export async function spool(input: Readable, folder: string, signal: AbortSignal): Promise<string> {
  const fresh = join(folder, `.fleetroot-stdin-${process.pid}.ndjson`);
  const digest = createHash('sha256');
  try {
    await pipeline(input, async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        digest.update(chunk);
        yield chunk;
      }
    }, createWriteStream(fresh, { mode: 0o600, flush: true }), { signal });
    const path = join(folder, `fleetroot-stdin-${digest.digest('hex').slice(0, 16)}.ndjson`);
    renameSync(fresh, path);
    return path;
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
}
