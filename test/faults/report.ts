import type { RowResult } from './run.ts';

/** For people, in Markdown. */
export function table(results: readonly RowResult[]): string {
  const head = ['fault', 'backend', 'times', 'seconds to done', 'to reach', 'burned', 'breaches', 'fsck', 'verdict', 'beside'];
  const body = results.map((result) => [
    result.title, result.backend, String(result.times), result.secondsToDone?.toFixed(1) ?? '', result.withinSeconds === undefined ? '' : String(result.withinSeconds),
    String(result.burned), String(result.breaches.length), result.fsck, result.verdict, Object.entries(result.notes).map(([name, value]) => `${name}: ${value}`).join('; '),
  ]);
  const rows = [head, head.map(() => '---'), ...body];
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
