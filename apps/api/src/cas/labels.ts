import { z } from 'zod';

const NAME = /^[a-z][a-z0-9-]{0,31}$/;

export const isLabel = (name: string): boolean => NAME.test(name);

/** What is shown to people; NUL, above all, PostgreSQL does not take. */
export const visibleLine = z.string().min(1).max(200).regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, { error: 'one line of visible characters expected' });

/** As the files of ceremonies have them. */
export const labels = z.record(z.string().regex(NAME, { error: 'a label is lower-case letters, digits and "-"' }), visibleLine)
  .refine((all) => Object.keys(all).length <= 16, { error: 'at most 16 labels' });
