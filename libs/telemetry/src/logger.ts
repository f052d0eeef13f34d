import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { describeError, redact, redactText } from './redaction.ts';

export type Logger = PinoLogger;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LoggerOptions {
  /** The app: `api`, `issuer`, `worker`, `status`, `cli`. Each line carries it. */
  readonly role: string;
  /** Least level that is logged. @throws Error where it is none of pino's levels */
  readonly level: LogLevel | string;
  /** Where the lines go; the default is standard output, written synchronously, so that the last words are not lost. */
  readonly destination?: DestinationStream;
}

/**
 * A logger of JSON lines: `time` (ISO 8601, UTC), `level` by name, `role`, `pid`, `msg` and the call's own fields.
 * Whatever stands in a call (fields, interpolated values, an error) passes through `redact` first.
 */
export function createLogger(options: LoggerOptions): Logger {
  const logger = pino(
    {
      level: options.level,
      base: { role: options.role, pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label }),
      },
      hooks: {
        logMethod(args, method) {
          const [first, second, ...rest] = args as [unknown, unknown?, ...unknown[]];
          // pino would turn an Error into { err }, but after this hook; by then it must be plain already.
          const fields = first instanceof Error ? { err: describeError(first) } : redact(first);
          const message = second === undefined && first instanceof Error ? redactText(first.message) : redact(second);
          const shown = message === undefined ? [fields] : [fields, message, ...rest.map(redact)];
          method.apply(this, shown as Parameters<typeof method>);
        },
      },
      // Fields are plain already; pino's own serializer of `err` would only add what was taken out.
      serializers: { err: (error: unknown) => error },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
  // pino's `formatters.bindings` does not reach the bindings of a child. A child inherits this method, and so do its own children.
  const child = logger.child;
  logger.child = function redactedChild(this: Logger, bindings, ...rest) {
    return child.call(this, redact(bindings) as typeof bindings, ...rest);
  } as typeof child;
  return logger;
}
