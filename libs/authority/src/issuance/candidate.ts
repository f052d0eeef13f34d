import { copyBytes, equalBytes, PkiError } from '@fleetroot/core';
import {
  assembleCertificate, type BlockedKeys, lintCertificate, parseRequest, refuseBlockedKey, spkiSha256, verifyPossession,
} from '@fleetroot/x509';
import type { RequestItem } from '../ports/batches.ts';
import type { IssuedItem } from '../ports/issuance.ts';
import { checkRequestAgainstProfile } from '../profile/check.ts';
import type { PreparedCertificate } from '../profile/compile.ts';
import type { Issuer } from './issuers.ts';

/** A certificate that passed every check before its signature. */
export interface Candidate extends PreparedCertificate {
  readonly ordinal: number;
  readonly ecuSerial: string | undefined;
  readonly serial: Uint8Array;
  readonly spkiSha256: Uint8Array;
  /** Whose key it is from now on: `ecu:SERIAL` or `server:NAME`. */
  readonly owner: string;
  /** The TBS as it was linted: a copy that nobody else has. To compare with it costs a tenth of a digest. */
  readonly linted: Uint8Array;
}

/** One certificate in so many is linted in full, though the compiled lint would do: whoever broke that one would be found out. */
const SAMPLE = 64;

/**
 * Request to linted TBS. Pure but for what the arguments hold.
 * @throws PkiError `request.*`, among them `request.name-refused` for what the CAs above do not let be certified;
 *   `key.blocked`, `profile.field-missing`, `certificate.lint`: this item gets no certificate
 */
export function prepareCandidate(
  issuer: Issuer, item: RequestItem, serial: Uint8Array, signedAt: Date, blockedKeys: BlockedKeys,
): Candidate {
  const { compiled } = issuer;
  const request = parseRequest(item.csr);
  checkRequestAgainstProfile(compiled.profile, item, request);
  const keySha256 = spkiSha256(request.spkiDer);
  refuseBlockedKey(keySha256, blockedKeys);
  verifyPossession(request);
  const prepared = compiled.prepare(item, request, serial, signedAt);
  refuseLintErrors(issuer, prepared.tbs, serial);
  refuseUnderConstraints(issuer, prepared.tbs);
  // I6: the key is the request's. What the template would have to do to break this is not worth imagining; this is.
  if (!Buffer.from(prepared.tbs.buffer, prepared.tbs.byteOffset, prepared.tbs.length).includes(request.spkiDer)) {
    throw new PkiError('certificate.lint', 'the certificate would not hold the public key of the request');
  }
  return {
    ...prepared,
    ordinal: item.ordinal,
    ecuSerial: item.ecuSerial,
    serial,
    spkiSha256: keySha256,
    owner: item.ecuSerial === undefined ? `server:${prepared.subjectName ?? ''}` : `ecu:${item.ecuSerial}`,
    linted: copyBytes(prepared.tbs),
  };
}

function refuseLintErrors({ lint, lintContext }: Issuer, tbs: Uint8Array, serial: Uint8Array): void {
  // Serial numbers are as good as random.
  const sampled = (serial.at(-1) ?? 0) % SAMPLE === 0;
  const findings = sampled ? lintCertificate(tbs, lintContext) : lint(tbs);
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) {
    throw new PkiError('certificate.lint', errors.map(({ rule, citation, detail }) => `${rule} (${citation}): ${detail}`).join('; '));
  }
}

function refuseUnderConstraints({ constraints, authority }: Issuer, tbs: Uint8Array): void {
  const refusal = constraints?.refusal(tbs);
  if (refusal === undefined) return;
  throw new PkiError('request.name-refused', `the CA ${authority.name} may not certify this: ${refusal}`);
}

/**
 * The certificates, once it is shown that what the HSM signed is what was linted (I6): the octets are those of the lint,
 * and the signature over them verifies under the issuer's certificate. Each one is verified: a sample would let the rest
 * leave unproven. There is a signature for each candidate.
 * @throws PkiError `hsm.signature-invalid` (stop), `internal`: none of them may leave
 */
export function certify(issuer: Issuer, candidates: readonly Candidate[], signatures: readonly Uint8Array[]): IssuedItem[] {
  for (const { tbs, linted } of candidates) {
    if (!equalBytes(tbs, linted)) {
      throw new PkiError('internal', 'a TBSCertificate changed between lint and signature; nothing of the chunk was stored');
    }
  }
  const verified = issuer.verifier.verifyMany(candidates.map(({ tbs }, i) => ({ message: tbs, signature: signatures[i] ?? NO_SIGNATURE })));
  return candidates.map((candidate, i) => {
    if (verified[i] !== true) {
      throw new PkiError('hsm.signature-invalid', `a signature made for the CA ${issuer.authority.name} does not verify under its certificate`);
    }
    return issuedItem(issuer, candidate, signatures[i] ?? NO_SIGNATURE);
  });
}

const NO_SIGNATURE = new Uint8Array(0);

function issuedItem({ algorithm }: Issuer, candidate: Candidate, signature: Uint8Array): IssuedItem {
  const { ordinal, serial, ecuSerial, subjectName, spkiSha256: keySha256, notBefore, notAfter, tbs } = candidate;
  return {
    ordinal, serial, ecuSerial, subjectName, spkiSha256: keySha256, notBefore, notAfter,
    der: assembleCertificate(tbs, algorithm, signature),
  };
}
