export { createLogger, type Logger, type LoggerOptions, type LogLevel } from './logger.ts';
export { Metrics } from './metrics.ts';
export { type NestLogger, nestLogger } from './nest-logger.ts';
export { describeError, isForbiddenKey, redact, redactText } from './redaction.ts';
export { plainLine, type ProcessControl, type Running, type RunOptions, runProcess } from './run-process.ts';
