import { randomBytes } from 'node:crypto';
import type { CertificateStatus, CertificationAuthority } from '@fleetroot/authority';
import { toHex } from '@fleetroot/core';
import { type OcspDeps, type OcspLedger, OcspResponder, type OcspSigner, type StoredAnswer } from '@fleetroot/ocsp';
import { assembleCertificate, CertificateTemplate, extension } from '@fleetroot/x509';
import type { SoftwareCa } from './software-ca.ts';

const signers = new Map<SoftwareCa, OcspSigner>();

/** Signs in memory; the same object each time, as the responder asks for. */
export function ocspSigner(of: SoftwareCa): OcspSigner {
  const known = signers.get(of) ?? { certificate: of.certificate, sign: async (messages) => messages.map(of.sign) };
  signers.set(of, known);
  return known;
}

/** A ledger of these CAs and statuses that keeps no answers, or those in `stored`. */
export const ocspLedger = (
  all: readonly CertificationAuthority[], statusOf: (caId: number, serial: string) => CertificateStatus | undefined, stored: StoredAnswer[] = [],
): OcspLedger => ({
  authorities: async () => all,
  lookUp: async (asked) => asked.map(({ caId, serial }) => ({ status: statusOf(caId, toHex(serial)) ?? { status: 'unknown' }, stored })),
  store: async () => undefined,
});

/** The answer of a responder that has just begun. */
export async function answerOcsp(request: Uint8Array, deps: Pick<OcspDeps, 'ledger' | 'signerFor'> & Partial<OcspDeps>): Promise<Uint8Array> {
  const responder = new OcspResponder({ clock: { now: () => new Date() }, lifetimeMs: 3_600_000, memoryOctets: 1_000_000, unknownPerSecond: 100, ...deps });
  return (await responder.answer(request)).der;
}

/** A certificate by `ca` for the key of an OCSP signer. DER. */
export function delegated(ca: SoftwareCa, spkiDer: Uint8Array, notBefore: Date, notAfter: Date): Uint8Array {
  const tbs = CertificateTemplate.compileAuthority({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: ca.subjectDer, subject: [{ type: 'commonName', from: { fixed: 'OCSP signer' } }],
    extensions: [
      extension.authorityKeyIdentifier(ca.keyId), { hole: 'subjectKeyIdentifier' }, extension.keyUsage(['digitalSignature']),
      extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck(),
    ],
  }).build({ serial: Buffer.concat([Buffer.of(0x55), randomBytes(15)]), notBefore, notAfter, subject: {}, spkiDer });
  return assembleCertificate(tbs, 'ecdsa-sha256', ca.sign(tbs));
}
