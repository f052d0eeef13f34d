/** What the operator reads: one line a thing, the same on a terminal and in a file. */
export interface Console {
  say(line: string): void;
  /** Says the label, then how long it took, or lets the failure through on a line of its own. */
  stage<T>(label: string, work: () => Promise<T> | T): Promise<T>;
}

/** Lines on standard output. A reader that went away (a closed terminal) is no failure of ours. */
export function lineConsole(output: NodeJS.WriteStream = process.stdout): Console {
  output.on('error', () => undefined);
  const write = (text: string): void => {
    if (output.writable) output.write(text);
  };
  // A stage writes its line in two parts; what is said in between starts a line of its own.
  const state = { open: false };
  const close = (): void => {
    if (state.open) write('\n');
    state.open = false;
  };
  return {
    say: (line) => {
      close();
      write(`${line}\n`);
    },
    stage: async (label, work) => {
      close();
      write(`  ${label} ... `);
      state.open = true;
      const began = performance.now();
      try {
        const result = await work();
        const took = `${((performance.now() - began) / 1000).toFixed(1)} s`;
        write(state.open ? `${took}\n` : `  ${label}: ${took}\n`);
        return result;
      } catch (error) {
        write(state.open ? 'failed\n' : `  ${label}: failed\n`);
        throw error;
      } finally {
        state.open = false;
      }
    },
  };
}

/** `12,345`; at most one digit behind the point, and that only below 100. */
export function count(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 });
}
