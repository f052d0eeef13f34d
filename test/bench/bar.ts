import { lineConsole } from '../../apps/cli/src/console.ts';
import { progress } from '../../apps/cli/src/line/progress.ts';

const console = lineConsole();

/** Runs `work` with a bar, its rate and the time left; `onDone` takes how many more of `total` are done. */
export async function showing<T>(total: number, what: string, work: (onDone: (more: number) => void) => Promise<T>): Promise<T> {
  const bar = progress(total, what, console);
  try {
    return await work((more) => bar.add(more));
  } finally {
    bar.end();
  }
}
