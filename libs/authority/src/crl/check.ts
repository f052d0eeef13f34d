import { equalBytes, PkiError, serialFromHex, serialToBytes } from '@fleetroot/core';
import { parseCrl, type ParsedCertificate, type ParsedCrl, verifySignature } from '@fleetroot/x509';
import type { PublishedCrl } from '../ports/crl.ts';
import { type CrlLedger, revocationReasons } from '../ports/status.ts';

export interface ExpectedCrl {
  readonly issuer: ParsedCertificate;
  readonly authorityKeyIdentifier: Uint8Array;
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly entries: number;
}

/**
 * Whether a CRL, as its own octets read, is the one that was meant and of the CA that was meant (I15).
 * @throws PkiError `crl.invalid`
 */
export function checkCrl(crl: ParsedCrl, expected: ExpectedCrl): void {
  const holds: readonly (readonly [boolean, string])[] = [
    [equalBytes(crl.issuerDer, expected.issuer.subjectDer), 'is not of the CA that was to publish it'],
    [equalBytes(crl.authorityKeyIdentifier, expected.authorityKeyIdentifier), 'names another key than the CA\'s'],
    [crl.number === expected.number, 'has not the number that was reserved'],
    [crl.thisUpdate.getTime() === expected.thisUpdate.getTime(), 'has another thisUpdate'],
    [crl.nextUpdate.getTime() === expected.nextUpdate.getTime(), 'has another nextUpdate'],
    [crl.entries.size === expected.entries, 'has not as many entries as the ledger gave'],
    [verifySignature(expected.issuer.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature), 'is not signed by the CA'],
  ];
  for (const [ok, what] of holds) {
    if (!ok) throw new PkiError('crl.invalid', `the CRL number ${expected.number} ${what}: it was not published`);
  }
}

/**
 * Why `next` may not follow `before`, or undefined where it may. Only a certificate that had expired at the thisUpdate of
 * the CRL before may leave, so that each is on one CRL after its expiry (RFC 5280 section 3.3), and a hold that was
 * released; judged by the ledger's expiry of each serial, not by the query that made `next`.
 */
export async function flawOfSuccession(crls: CrlLedger, before: PublishedCrl, next: ParsedCrl): Promise<PkiError | undefined> {
  if (next.thisUpdate < before.thisUpdate) {
    return new PkiError('clock.skew', `the CRL number ${next.number} would be older than number ${before.number}: set the clocks right`);
  }
  const lost = await lostSerials(crls, before, next);
  return lost.length === 0 ? undefined : new PkiError('crl.invalid', `the CRL number ${next.number} would lack ${lost.length} revoked certificates that number ${before.number} lists and that had not expired, the first ${lost[0] ?? ''}: look into the ledger; number ${before.number} stays`, {
    data: { lost: lost.length },
  });
}

async function lostSerials(crls: CrlLedger, before: PublishedCrl, next: ParsedCrl): Promise<readonly string[]> {
  const gone: { readonly hex: string; readonly held: boolean }[] = [];
  const known = next.entries.index();
  for (const [hex, { reason }] of parseCrl(before.der).entries) {
    if (!known.has(hex)) gone.push({ hex, held: reason === revocationReasons.certificateHold });
  }
  if (gone.length === 0) return [];
  const expiries = await crls.expiries(before.caId, gone.map(({ hex }) => serialToBytes(serialFromHex(hex))));
  return gone.filter(({ held }, i) => {
    const notAfter = expiries[i];
    return notAfter === undefined ? !held : notAfter >= before.thisUpdate;
  }).map(({ hex }) => hex);
}
