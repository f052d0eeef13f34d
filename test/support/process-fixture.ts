// A role whose behaviour is its argument: what `runProcess` makes of it is tested from outside.
import { PkiError } from '@fleetroot/core';
import { runProcess } from '@fleetroot/telemetry';

const behaviour = process.argv[2] ?? '';
const alive = setInterval(() => undefined, 1000);
const say = (word: string): void => void process.stdout.write(`${word}\n`);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

const refused = new PkiError('hsm.pin-incorrect', 'the PIN is wrong');

await runProcess('fixture', async (control) => {
  if (behaviour === 'refuse') throw new PkiError('config.invalid', 'A is not set;\nB is not set');
  if (behaviour === 'break') throw new Error('something else');
  if (behaviour === 'slow-start') await sleep(1000);
  // Says so and hears nothing for a while: what the parent does meanwhile is met by what comes right after the start.
  if (behaviour === 'deaf-start') {
    say('starting');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  }
  if (behaviour === 'reject') setTimeout(() => void Promise.reject(new PkiError('internal', 'nobody caught this')), 50);
  if (behaviour === 'throw') setTimeout(() => { throw new Error('nobody caught this'); }, 50);
  if (behaviour === 'fail') setTimeout(() => control.fail(new PkiError('hsm.unavailable', 'the HSM is away')), 50);
  if (behaviour === 'fail-pin') setTimeout(() => control.fail(refused), 50);
  if (behaviour.startsWith('fail-pin-')) setTimeout(() => control.fail(refused), 50);
  if (behaviour === 'refuse-pin') throw refused;
  if (behaviour === 'reject-pin') setTimeout(() => void Promise.reject(refused), 50);
  return {
    close: async () => {
      say('closing');
      if (behaviour === 'fail-pin-broken') throw new Error('closing broke');
      await sleep(behaviour === 'slow-close' ? 1000 : behaviour.endsWith('stuck') ? 60_000 : 10);
      clearInterval(alive);
      say('closed');
    },
  };
}, { closeWithinMs: 2000 });
say('started');
