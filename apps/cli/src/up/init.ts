import { lineConsole } from '../console.ts';
import { checkRoom, plainFailure } from '../data-dir/disk.ts';
import { type DataDir, isInitialised, makeDataDir } from '../data-dir/layout.ts';
import { takeLock } from '../data-dir/lock.ts';
import type { InitOptions } from './options.ts';
import { prepare, type Prepared } from './prepare.ts';

/** `fleetroot init`: makes what is missing, and starts nothing that stays. Returns the exit status. */
export async function init(options: InitOptions): Promise<number> {
  const console = lineConsole();
  const state: { dir?: DataDir; release?: () => void } = {};
  const prepared: Prepared = {};
  try {
    const dir = state.dir = makeDataDir(options.dataDir);
    state.release = takeLock(dir.lock);
    checkRoom(dir.path, !isInitialised(dir));
    const lost = Promise.withResolvers<never>();
    lost.promise.catch(() => undefined);
    await Promise.race([
      prepare(dir, options, prepared, { console, signal: new AbortController().signal, onLost: lost.reject }),
      lost.promise,
    ]);
    console.say(`Ready: ${dir.path}`);
    return 0;
  } catch (error) {
    process.stderr.write(`fleetroot: ${plainFailure(error, state.dir?.path ?? options.dataDir)}\n`);
    return 1;
  } finally {
    await prepared.database?.stop();
    state.release?.();
  }
}
