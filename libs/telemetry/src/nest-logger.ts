import type { Logger } from './logger.ts';

/** Nest's LoggerService by shape, so that this lib needs nothing of Nest. */
export interface NestLogger {
  log(message: unknown, ...more: unknown[]): void;
  error(message: unknown, ...more: unknown[]): void;
  warn(message: unknown, ...more: unknown[]): void;
  debug(message: unknown, ...more: unknown[]): void;
  verbose(message: unknown, ...more: unknown[]): void;
  fatal(message: unknown, ...more: unknown[]): void;
}

/** Hands Nest's own messages to our logger. Nest's chatter while it starts (its `log`) is of level debug here. */
export function nestLogger(logger: Logger): NestLogger {
  type Level = 'error' | 'warn' | 'debug' | 'fatal';
  const say = (level: Level) => (message: unknown, ...more: unknown[]): void => {
    // Nest passes (message, [stack], context): the context comes last and names the class.
    const context = more.at(-1);
    const fields = {
      ...(typeof context === 'string' ? { context } : {}),
      ...(message instanceof Error ? { err: message } : {}),
      ...(more.length > 1 && typeof more[0] === 'string' ? { stack: more[0] } : {}),
    };
    logger[level](fields, message instanceof Error ? message.message : String(message));
  };
  return { log: say('debug'), verbose: say('debug'), debug: say('debug'), warn: say('warn'), error: say('error'), fatal: say('fatal') };
}
