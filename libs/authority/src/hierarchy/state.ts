import { PkiError } from '@fleetroot/core';
import { parseCertificate, type SignatureAlgorithm, signatureAlgorithmFor } from '@fleetroot/x509';
import type { CaState, CertificationAuthority } from '../ports/authorities.ts';

/**
 * What a CA does: `issue` certificates to leaves; sign its `status` (CRLs, certificates of OCSP signers); be in the
 * truststores, for relying parties to `trust`.
 */
export type CaAct = 'issue' | 'status' | 'trust';

const allowed: Readonly<Record<CaState, readonly CaAct[]>> = {
  // Made and handed out, so that every gateway knows it before its first certificate is shown to one.
  prepared: ['status', 'trust'],
  active: ['issue', 'status', 'trust'],
  // Followed by the next generation; what it has issued lives on.
  retiring: ['status', 'trust'],
  retired: [],
  compromised: [],
};

/** By hand or by schedule; `compromised`, and `retired` before its time, come by revocation alone. */
const steps: Readonly<Record<CaState, readonly CaState[]>> = {
  prepared: ['active', 'retired'],
  active: ['retiring'],
  retiring: ['active', 'retired'],
  retired: [],
  compromised: [],
};

/** Whether a CA in this state may do this. */
export const may = (state: CaState, act: CaAct): boolean => allowed[state].includes(act);

/** Whether the CA signs its CRLs and OCSP signers here: its state allows it, and its key is in the CA token. */
export const signsStatus = (ca: Pick<CertificationAuthority, 'state' | 'keyId'>): boolean => ca.keyId !== undefined && may(ca.state, 'status');

/** @throws PkiError `ca.state-refused` */
export function requireStep(name: string, from: CaState, to: CaState): void {
  if (steps[from].includes(to)) return;
  const next = steps[from];
  throw new PkiError('ca.state-refused', `the CA ${name} is ${from} and cannot become ${to}${next.length === 0 ? '' : `: it can become ${next.join(' or ')}`}`);
}

/** What the CA signs with. */
export const signatureAlgorithmOf = (ca: Pick<CertificationAuthority, 'certificate' | 'signatureAlgorithm'>): SignatureAlgorithm =>
  ca.signatureAlgorithm ?? signatureAlgorithmFor(parseCertificate(ca.certificate).spkiDer);
