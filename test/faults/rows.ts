import { partRows } from './rows-parts.ts';
import { processRows } from './rows-processes.ts';
import type { Row } from './row.ts';

/** The faults of issuance, in the order of the table. */
export const rows: readonly Row[] = [...processRows, ...partRows];
