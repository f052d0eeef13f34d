// For tests only: lets a process of the product die at a named crash point (libs/core/src/crash-point.ts), or live by
// another clock. It is loaded before the program, by `node --import`, and reads two variables that nothing else reads:
// FAULTS_FOLDER, where the test leaves its orders, and FAULTS_ROLE, whose process this is.
//
// `fleetroot up` starts its roles with an environment of their own and inherits them nothing: there, this module adds
// itself to what `fork` starts. The product is not asked, and needs no door for it.
import childProcess from 'node:child_process';
import { appendFileSync, readFileSync, renameSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

const folder = process.env.FAULTS_FOLDER;
const role = process.env.FAULTS_ROLE;
if (folder !== undefined) {
  if (role === undefined) armChildren(folder);
  else {
    armCrashPoints(folder);
    stepClock(folder, role);
  }
}

function armChildren(at) {
  const fork = childProcess.fork;
  childProcess.fork = (entry, args, options) => fork(entry, args, {
    ...options,
    execArgv: [...options.execArgv, '--import', import.meta.url],
    env: { ...options.env, FAULTS_FOLDER: at, FAULTS_ROLE: /\/apps\/(\w+)\//.exec(entry)?.[1] ?? 'unknown' },
  });
  syncBuiltinESMExports();
}

/** The order `arm.POINT` holds an id and a count: the process that arrives so often at the point after it dies there. */
function armCrashPoints(at) {
  const arrivals = new Map();
  globalThis[Symbol.for('fleetroot.crash-point')] = (point) => {
    const order = join(at, `arm.${point}`);
    const text = read(order);
    if (text === undefined) return;
    const [id, count] = text.trim().split(' ');
    arrivals.set(id, (arrivals.get(id) ?? 0) + 1);
    if (arrivals.get(id) < Number(count)) return;
    try {
      // Of several processes one dies.
      renameSync(order, join(at, `fired.${id}`));
    } catch {
      return;
    }
    appendFileSync(join(at, 'crashes.log'), `${role} ${process.pid} ${point}\n`);
    process.kill(process.pid, 'SIGKILL');
    // The signal is on its way: not a step further.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
}

/** The order `clock.ROLE` holds milliseconds, by which `Date` goes wrong while it is there; timers keep the true time. */
function stepClock(at, whose) {
  const order = join(at, `clock.${whose}`);
  let offset = 0;
  const look = () => {
    offset = Number(read(order) ?? 0);
  };
  const True = Date;
  globalThis.Date = new Proxy(True, {
    construct: (target, args, asked) => Reflect.construct(target, args.length === 0 ? [True.now() + offset] : args, asked === globalThis.Date ? target : asked),
    apply: () => new True(True.now() + offset).toString(),
    get: (target, name) => (name === 'now' ? () => True.now() + offset : Reflect.get(target, name)),
  });
  look();
  setInterval(look, 50).unref();
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
