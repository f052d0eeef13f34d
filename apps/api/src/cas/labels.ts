import { z } from 'zod';

const NAME = /^[a-z][a-z0-9-]{0,31}$/;

export const isLabel = (name: string): boolean => NAME.test(name);

/** As the files of ceremonies have them. */
export const labelValue = z.string().min(1).max(200).regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, { error: 'one line of visible characters expected' });

export const labels = z.record(z.string().regex(NAME, { error: 'a label is lower-case letters, digits and "-"' }), labelValue)
  .refine((all) => Object.keys(all).length <= 16, { error: 'at most 16 labels' });
