import { z } from 'zod';

/** The field that says which CA is to issue. */
export const caChoice = z.string().max(64).meta({
  description: 'name of the CA that is to issue, or of an earlier or later generation of it; absent: the one that is for you',
});
