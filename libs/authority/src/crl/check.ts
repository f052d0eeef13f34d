import { equalBytes, PkiError, toHex } from '@fleetroot/core';
import { parseAnyCrl, type ParsedCertificate, type ParsedCrl, verifySignature } from '@fleetroot/x509';
import type { PublishedCrl } from '../ports/crl.ts';
import { type CrlLedger, revocationReasons } from '../ports/status.ts';

export interface ExpectedCrl {
  readonly issuer: ParsedCertificate;
  readonly authorityKeyIdentifier: Uint8Array;
  readonly number: bigint;
  readonly baseNumber: bigint | undefined;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly distributionPoint: readonly string[];
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
    [crl.baseNumber === expected.baseNumber, 'starts from another CRL'],
    [crl.distributionPoint.join() === expected.distributionPoint.join(), 'has not the distribution point that its certificates name'],
    [crl.thisUpdate.getTime() === expected.thisUpdate.getTime(), 'has another thisUpdate'],
    [crl.nextUpdate.getTime() === expected.nextUpdate.getTime(), 'has another nextUpdate'],
    [crl.entries.size === expected.entries, 'has not as many entries as the ledger gave'],
    [crl.entries.ascending, 'has entries out of order, or one twice'],
    [verifySignature(expected.issuer.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature), 'is not signed by the CA'],
  ];
  for (const [ok, what] of holds) {
    if (!ok) throw new PkiError('crl.invalid', `the CRL number ${expected.number} ${what}: it was not published`);
  }
}

/** So many serials are asked for at once. */
const PAGE = 10_000;

/**
 * Why `next` may not follow `before`, of the same scope and kind, or undefined where it may. Only a certificate that had
 * expired at the thisUpdate of the CRL before may leave, so that each is on one CRL after its expiry (RFC 5280 section 3.3),
 * and a hold that was released; judged by the ledger's expiry of each serial, not by the query that made `next`. A delta
 * that starts from another CRL than the one before tells of other changes.
 */
export async function flawOfSuccession(crls: Pick<CrlLedger, 'expiries'>, before: PublishedCrl, next: ParsedCrl): Promise<PkiError | undefined> {
  if (next.thisUpdate < before.thisUpdate) {
    return new PkiError('clock.skew', `the CRL number ${next.number} would be older than number ${before.number}: set the clocks right`);
  }
  const earlier = parseAnyCrl(before.der);
  const moved = earlier.distributionPoint.find((uri) => !next.distributionPoint.includes(uri));
  if (moved !== undefined) {
    return new PkiError('crl.invalid', `the CRL number ${next.number} would not be of the distribution point ${moved}, as number ${before.number} is: it was not published`);
  }
  if (earlier.baseNumber !== next.baseNumber) return undefined;
  const lost = await lostSerials(crls, before, earlier, next);
  return lost.count === 0 ? undefined : new PkiError('crl.invalid', `the CRL number ${next.number} would lack ${lost.count} revoked certificates that number ${before.number} lists and that had not expired, the first ${lost.first}: look into the ledger; number ${before.number} stays`, {
    data: { lost: lost.count },
  });
}

async function lostSerials(
  crls: Pick<CrlLedger, 'expiries'>, before: PublishedCrl, earlier: ParsedCrl, next: ParsedCrl,
): Promise<{ readonly count: number; readonly first: string }> {
  let count = 0;
  let first = '';
  let page: { readonly serial: Uint8Array; readonly reason: number }[] = [];
  const judge = async (): Promise<void> => {
    const expiries = await crls.expiries(before.caId, page.map(({ serial }) => serial));
    page.forEach(({ serial, reason }, i) => {
      const notAfter = expiries[i];
      const mayGo = notAfter === undefined ? released.includes(reason) : notAfter < before.thisUpdate;
      if (mayGo) return;
      if (count === 0) first = toHex(serial);
      count++;
    });
    page = [];
  };
  for (const gone of earlier.entries.goneFrom(next.entries)) {
    // As the ledger has it: without the octet that keeps the INTEGER positive.
    page.push({ serial: gone.serial[0] === 0 ? gone.serial.subarray(1) : gone.serial, reason: gone.reason });
    if (page.length === PAGE) await judge();
  }
  if (page.length > 0) await judge();
  return { count, first };
}

const released: readonly number[] = [revocationReasons.certificateHold, revocationReasons.removeFromCRL];
