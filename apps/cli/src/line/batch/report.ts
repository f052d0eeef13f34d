import { lineConsole } from '../../console.ts';
import { Pace } from '../pace.ts';
import { type Progress, progress } from '../progress.ts';

/** What is counted while the operator waits. */
type Phase = 'sending' | 'issuing' | 'revoking';

const JSON_EVERY_MS = 1_000;

/** Tells how it goes: to people on a terminal or in a file, or a JSON object a line to machines. */
export interface Report {
  /** Begins a phase; the one before is over. */
  begin(phase: Phase, total: number, done: number): void;
  at(done: number): void;
  /** @param event what `--json` says instead; undefined: nothing */
  say(line: string, event?: Readonly<Record<string, unknown>>): void;
  end(): void;
}

const what: Readonly<Record<Phase, string>> = { sending: 'items sent', issuing: 'results', revoking: 'certificates' };

export function peopleReport(): Report {
  const console = lineConsole();
  let shown: Progress | undefined;
  const end = (): void => {
    shown?.end();
    shown = undefined;
  };
  return {
    begin: (phase, total, done) => {
      end();
      shown = progress(total, what[phase], console, { done });
    },
    at: (done) => shown?.at(done),
    say: (line) => (shown ?? console).say(line),
    end,
  };
}

export function jsonReport(write: (line: string) => void = lineConsole().say): Report {
  const emit = (event: Readonly<Record<string, unknown>>): void => write(JSON.stringify(event));
  let current: { readonly phase: Phase; readonly pace: Pace; said: number } | undefined;
  return {
    begin: (phase, total, done) => {
      current = { phase, pace: new Pace(total, done, performance.now()), said: Number.NEGATIVE_INFINITY };
    },
    at: (done) => {
      if (current === undefined) return;
      const now = performance.now();
      const { perSecond, secondsLeft, total } = current.pace.at(done, now);
      if (now - current.said < JSON_EVERY_MS && done < total) return;
      current.said = now;
      emit({ event: current.phase, done, total, ratePerSecond: perSecond ?? null, secondsLeft: secondsLeft ?? null });
    },
    say: (_line, event) => {
      if (event !== undefined) emit(event);
    },
    end: () => (current = undefined),
  };
}
