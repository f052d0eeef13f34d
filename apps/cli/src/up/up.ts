import { setTimeout as sleep } from 'node:timers/promises';
import { isPkiError, NEVER_AGAIN } from '@fleetroot/core';
import { version } from '../checkout.ts';
import { type Console, lineConsole } from '../console.ts';
import { checkRoom, plainFailure } from '../data-dir/disk.ts';
import { type DataDir, isInitialised, makeDataDir } from '../data-dir/layout.ts';
import { takeLock } from '../data-dir/lock.ts';
import { demonstrate } from '../line/demonstrate.ts';
import { bringUp, type Parts } from './bring-up.ts';
import { endpointsOf, portsOf, type UpOptions } from './options.ts';
import { checkPorts } from './ports.ts';
import { stopWish } from './signals.ts';
import { welcome } from './welcome.ts';

/** What a demonstration that was interrupted gets to clean up, in milliseconds. */
const CLEAN_UP_MS = 3_000;

/** `fleetroot up`: everything on this machine, until somebody stops it. Returns the exit status. */
export async function up(options: UpOptions): Promise<number> {
  const console = lineConsole();
  const state: { dir?: DataDir; release?: () => void } = {};
  const parts: Parts = {};
  const wish = stopWish(() => parts.roles?.kill());
  try {
    state.dir = makeDataDir(options.dataDir);
    state.release = takeLock(state.dir.lock);
    return await run(state.dir, options, parts, wish.signal, console);
  } catch (error) {
    if (wish.signal.aborted) return 0;
    process.stderr.write(`fleetroot: ${plainFailure(error, state.dir?.path ?? options.dataDir)}\n`);
    return isPkiError(error) && error.code === 'hsm.pin-incorrect' ? NEVER_AGAIN : 1;
  } finally {
    await stop(parts, console);
    state.release?.();
    wish.dispose();
  }
}

async function run(dir: DataDir, options: UpOptions, parts: Parts, signal: AbortSignal, console: Console): Promise<number> {
  console.say(`Fleetroot ${version()}, data in ${dir.path}`);
  await checkPorts(portsOf(options));
  checkRoom(dir.path, !isInitialised(dir));
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => undefined);
  const stopped = new Promise<'stopped'>((resolve) => signal.addEventListener('abort', () => resolve('stopped')));

  await bringUp(dir, options, parts, { signal, console, onLost: lost.reject });
  const endpoints = endpointsOf(options);
  let failed = false;
  if (options.demo) {
    const demonstration = demonstrate({ dir, endpoints, ecus: options.ecus, signal, console });
    demonstration.catch(() => undefined);
    try {
      const outcome = await Promise.race([demonstration, stopped, lost.promise]);
      if (outcome === 'stopped') return 0;
    } catch (error) {
      failed = true;
      console.say('');
      console.say(`THE DEMONSTRATION FAILED: ${plainFailure(error, dir.path)}`);
      if (signal.aborted) return 0;
    } finally {
      await Promise.race([demonstration.catch(() => undefined), sleep(CLEAN_UP_MS, undefined, { ref: false })]);
    }
  }
  if (!options.exit) {
    welcome(dir, endpoints, console);
    await Promise.race([stopped, lost.promise]);
  }
  return failed ? 1 : 0;
}

/** In order: who takes requests, who works, who answers, and at last the database. */
async function stop(parts: Parts, console: Console): Promise<void> {
  if (parts.roles === undefined && parts.database === undefined) return;
  await console.stage('Stopping', async () => {
    await parts.roles?.stop();
    await parts.database?.stop();
  });
}
