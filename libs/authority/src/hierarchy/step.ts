import { type Clock, PkiError } from '@fleetroot/core';
import type { AuthorityLedger, CaState, CertificationAuthority } from '../ports/authorities.ts';
import type { CrlLedger } from '../ports/status.ts';
import { isTrusted } from './lineage.ts';
import { requireStep } from './state.ts';

/** What a step is judged by, and where it is put on record. */
export interface StepLedgers {
  readonly authorities: Pick<AuthorityLedger, 'all' | 'byName' | 'lastDependant' | 'change'>;
  readonly crls: Pick<CrlLedger, 'latest'>;
}

/**
 * Takes a CA a step further by hand. In that state already, nothing changes.
 * @returns the CA as it was and as it is
 * @throws PkiError `ca.not-found`; `ca.state-refused` with the reason
 */
export async function takeStep(
  ledgers: StepLedgers, name: CertificationAuthority['name'], to: CaState, { actor, clock }: { readonly actor: string; readonly clock: Clock },
): Promise<{ readonly before: CertificationAuthority; readonly after: CertificationAuthority }> {
  const { authorities } = ledgers;
  const before = await authorities.byName(name);
  if (before.revocation !== undefined) throw new PkiError('ca.state-refused', `the CA ${name} is revoked, and stays so`);
  if (before.state === to) return { before, after: before };
  requireStep(name, before.state, to);
  const at = clock.now();
  const fault = await stepFault(ledgers, before, to, at);
  if (fault !== undefined) throw new PkiError('ca.state-refused', `the CA ${name} cannot become ${to}: ${fault}`);
  const after = await authorities.change(before.id, before.state, to, {
    action: 'ca.state-changed', actor, at, subject: `ca:${name}`, data: { from: before.state, to },
  });
  return { before, after };
}

/**
 * Why a CA cannot take a step that `requireStep` allows. To issue it needs its key here, trust, validity and a current
 * CRL, without which every gateway that checks would refuse what it issues (I17, I29). It retires when nothing that it has
 * signed lives any more.
 */
async function stepFault({ authorities, crls }: StepLedgers, ca: CertificationAuthority, to: CaState, now: Date): Promise<string | undefined> {
  if (to === 'active') {
    if (ca.keyId === undefined) return 'its key is not online';
    if (!isTrusted(ca, await authorities.all())) return 'it, or a CA above it, is revoked or retired';
    if (now < ca.notBefore || now > ca.notAfter) return 'its certificate is not valid now';
    const crl = await crls.latest(ca.id);
    return crl === undefined || crl.nextUpdate <= now ? 'it has no current CRL yet; where none comes within a minute, see why the issuer cannot use its key' : undefined;
  }
  if (to !== 'retired') return undefined;
  const last = await authorities.lastDependant(ca.id);
  return last !== undefined && last >= now ? `what it has signed is valid until ${last.toISOString()}; it retires by itself after that, or is revoked` : undefined;
}
