import type { BatchLedger } from '@fleetroot/authority';
import { isPkiError } from '@fleetroot/core';
import type { HttpPrincipal } from '@fleetroot/http';
import { z } from 'zod';
import type { Authorities } from './authorities.ts';

/** The field that says which CA is to issue. */
export const caChoice = z.string().max(64).meta({
  description: 'name of the CA that is to issue, or of an earlier or later generation of it; absent: the one that is for you',
});

/** Of a batch that is not opened any more: no CA. */
export const NONE = 0;

/**
 * The id of the CA that issues for the caller. Where none does (any more), but the Idempotency-Key has a batch that was
 * accepted while one did, the answer to that batch is the same as ever (I5): it needs no CA.
 * @throws PkiError as `Authorities.chosen`
 */
export async function chosenCa(
  authorities: Authorities, batches: Pick<BatchLedger, 'wasAccepted'>, { id, authorities: allowed = [] }: HttpPrincipal,
  asked: string | undefined, idempotencyKey: string | undefined,
): Promise<number> {
  try {
    return (await authorities.chosen(asked, allowed)).id;
  } catch (error) {
    const mayBeRepeated = isPkiError(error) && error.retry === 'never' && idempotencyKey !== undefined;
    if (mayBeRepeated && await batches.wasAccepted(id, idempotencyKey)) return NONE;
    throw error;
  }
}
