import { isPkiError, NEVER_AGAIN } from '@fleetroot/core';
import { createLogger, type Logger } from './logger.ts';
import { redactText } from './redaction.ts';

/** What a started role is to its process. `close` resolves once nothing is at work any more. */
export interface Running {
  close(): Promise<void>;
}

/** The process's hand to the role that runs in it. */
export interface ProcessControl {
  /** Ends the process, as a failed start does, after a fault that no retry mends; the role is closed first. */
  fail(error: unknown): void;
}

export interface RunOptions {
  readonly logger?: Logger;
  /** How long `close` may take, in milliseconds; then the process ends with status 1. */
  readonly closeWithinMs?: number;
}

/**
 * Runs one role as a process, to its end:
 * - started: tells the parent `{ ready: true }`, where there is one on an IPC channel;
 * - SIGTERM, SIGINT, or the parent gone: `close()`, then status 0; status 1 where that takes longer than 10 s. The same
 *   signal once more ends the process at once. (Ctrl-C reaches a whole process group and the parent then sends SIGTERM
 *   too: a signal of the other kind is not impatience.)
 * - start fails: one plain line on standard error, `fleetroot ROLE: CODE: message`, status 1, or `NEVER_AGAIN` where the
 *   HSM refused the PIN, which stands whatever goes wrong afterwards;
 * - an exception or rejection that nobody caught: logged, and the same statuses. The process's state is unknown, so
 *   nothing is closed.
 */
export async function runProcess(
  role: string, start: (control: ProcessControl) => Promise<Running>, options: RunOptions = {},
): Promise<void> {
  const logger = options.logger ?? createLogger({ role, level: 'info' });
  // A refused PIN is not given again, whatever else goes wrong on the way out: a status of 1 would have us started anew.
  let refused = false;
  const statusOf = (error: unknown): number => {
    refused ||= isPkiError(error) && error.code === 'hsm.pin-incorrect';
    return refused ? NEVER_AGAIN : 1;
  };
  const die = (error: unknown, what: string): never => {
    logger.fatal({ err: error }, what);
    process.stderr.write(`${plainLine(role, error)}\n`);
    process.exit(statusOf(error));
  };
  process.on('uncaughtException', (error) => die(error, 'uncaught exception'));
  process.on('unhandledRejection', (reason) => die(reason, 'unhandled rejection'));

  const seen = new Set<NodeJS.Signals | 'disconnect'>();
  let ending = false;
  const end = (status: number): void => {
    if (ending) return;
    ending = true;
    setTimeout(() => die(new Error('closing took too long'), 'not closed in time'), options.closeWithinMs ?? 10_000);
    void running.then((role_) => role_.close()).then(() => process.exit(status), (error) => die(error, 'closing failed'));
  };
  const onEnd = (cause: NodeJS.Signals | 'disconnect') => (): void => {
    if (seen.has(cause)) process.exit(refused ? NEVER_AGAIN : 1);
    seen.add(cause);
    if (!ending) logger.info({ cause }, 'closing');
    end(0);
  };
  const control: ProcessControl = {
    fail: (error) => {
      if (ending) return;
      logger.fatal({ err: error }, 'the process ends');
      process.stderr.write(`${plainLine(role, error)}\n`);
      end(statusOf(error));
    },
  };

  const running = Promise.resolve().then(() => start(control));
  process.on('SIGTERM', onEnd('SIGTERM'));
  process.on('SIGINT', onEnd('SIGINT'));
  process.on('disconnect', onEnd('disconnect'));
  try {
    await running;
  } catch (error) {
    process.stderr.write(`${plainLine(role, error)}\n`);
    if (!isPkiError(error)) logger.fatal({ err: error }, 'start failed');
    process.exit(statusOf(error));
  }
  if (!ending) {
    logger.info('started');
    // Without a callback, a parent that has just gone would be an exception that nobody caught, and nothing would be closed;
    // `disconnect` follows and closes.
    process.send?.({ ready: true }, () => undefined);
  }
}

/** `fleetroot ROLE: CODE: message`, on one line. */
export function plainLine(role: string, error: unknown): string {
  const code = isPkiError(error) ? error.code : 'internal';
  const message = error instanceof Error ? error.message : String(error);
  return `fleetroot ${role}: ${code}: ${redactText(message).replaceAll(/\s+/g, ' ')}`;
}
