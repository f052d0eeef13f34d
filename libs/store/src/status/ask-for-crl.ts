import { type CaState, signsStatus } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';
import { addToOutbox } from '../outbox.ts';

/** CRLs are made before certificates: what is burned or revoked waits for one. */
const CRL_PRIORITY = 1;

/** Has the CA's next CRL made. One that signs none here gets it from a ceremony, or has signed its last. */
export async function askForCrl(tx: Queryable, caId: number): Promise<void> {
  const [ca] = await tx.query<{ state: CaState; key_id: Buffer | null }>('SELECT state, key_id FROM ca WHERE id = $1', [caId]);
  if (ca !== undefined && signsStatus({ state: ca.state, keyId: ca.key_id ?? undefined })) await addToOutbox(tx, 'publish-crl', { caId }, CRL_PRIORITY);
}
