/** What a script sees of the commands of a line (`fleetroot line --help` tells it too). */
export const lineStatus = {
  /** Everything was issued; without --follow: the batch is accepted. */
  ok: 0,
  /** Some items have no certificate; of `simulate`: a limit was passed, or a request went wrong. */
  someFailed: 1,
  usage: 2,
  /** Nothing is lost: the same command goes on. */
  unfinished: 3,
  refused: 4,
} as const;

export type LineStatus = (typeof lineStatus)[keyof typeof lineStatus];

/** Why a command of the line ends without having done all of it. The message tells the operator what to do next. */
export class LineError extends Error {
  readonly status: LineStatus;
  /** Of the error catalogue, where the API has said it. */
  readonly code: string | undefined;

  constructor(status: LineStatus, message: string, options: { readonly code?: string; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'LineError';
    this.status = status;
    this.code = options.code;
  }
}

/** The command, or a file that it was given, cannot be worked with as it is. */
export function wrongUse(message: string): LineError {
  return new LineError(lineStatus.usage, message);
}
