import { PkiError, toHex } from '@fleetroot/core';
import { buildCrlTbs, type CrlEntry, keyIdentifier, type ParsedCrl } from '@fleetroot/x509';
import { type RevocationReason, revocationReasons } from '../ports/status.ts';
import { revokedAgain } from '../revocation/reason.ts';
import { sha256Of } from './digest.ts';
import { type CeremonyObject, ceremonyObject } from './object.ts';
import type { PlannedCrl } from './plan.ts';
import { plannedCrl } from './planned.ts';
import { atPlace, type CeremonySite, intentOf, type Place, refuse, signatoryAt } from './site.ts';
import { daysMs } from './validity.ts';

/** The next CRL of a CA whose key is offline; its number is on disk before it is signed (I13). */
export function prepareCrl(site: CeremonySite, planned: PlannedCrl, path: Place): CeremonyObject {
  const { authority: name, days, revoked } = planned;
  const ca = signatoryAt(site, name, [...path, 'authority']);
  if (ca.certificate.keyUsage?.includes('cRLSign') === false) refuse(site, [...path, 'authority'], `${name} may not sign CRLs: its key usage lacks cRLSign`);
  const before = site.hierarchy.crlOf(name);
  const intent = intentOf(site, [plannedCrl(site.plan, planned), before?.record.sha256 ?? null, sha256Of(ca.certificate.tbsDer)], {
    name: `CRL of ${name}: ${site.plan.title}`, lifetimeMs: daysMs(days), numberAfter: before?.crl.number ?? 0n,
  });
  const thisUpdate = new Date(intent.notBefore);
  const nextUpdate = new Date(thisUpdate.getTime() + daysMs(days));
  const number = BigInt(intent.number ?? 0);
  if (before !== undefined && before.crl.thisUpdate > thisUpdate) {
    throw new PkiError('clock.skew', `the CRL of ${name} before this one is of ${before.record.thisUpdate}, which is later than this clock says: set the clock right`);
  }
  revoked.forEach(({ revokedAt, invalidityDate }, i) => {
    if (revokedAt > thisUpdate) refuse(site, [...path, 'revoked', i, 'revokedAt'], 'is in the future: correct it');
    if (invalidityDate !== undefined && invalidityDate > thisUpdate) refuse(site, [...path, 'revoked', i, 'invalidityDate'], 'is in the future: correct it');
  });
  if (before !== undefined) requireSuccession(site, planned, before.crl, path);
  const tbs = atPlace(site, path, () => buildCrlTbs({
    signatureAlgorithm: ca.algorithm, issuerDer: ca.certificate.subjectDer, thisUpdate, nextUpdate, number,
    authorityKeyIdentifier: ca.certificate.subjectKeyIdentifier ?? keyIdentifier(ca.certificate.spkiDer), entries: revoked,
  }));
  const file = `${name}-${number}.crl`;
  return ceremonyObject({
    kind: 'crl', file, name, issuer: name, tbs, algorithm: ca.algorithm, signer: { keyId: ca.keyId, spkiDer: ca.certificate.spkiDer }, keyId: ca.keyId,
    serial: undefined, given: undefined, intent: intent.name,
    remarks: [['before it', before === undefined ? 'none' : `number ${before.record.number}, SHA-256 ${before.record.sha256}`], ...strangers(site, planned)],
    entry: (sha256) => ({
      crl: {
        authority: name, number: number.toString(), file, sha256, thisUpdate: thisUpdate.toISOString(), nextUpdate: nextUpdate.toISOString(),
        planned: plannedCrl(site.plan, planned),
      },
    }),
  });
}

/**
 * Revoked never becomes less so (I12), and an entry leaves only when its certificate had expired at the thisUpdate of the
 * CRL before, so that each is on one CRL after its expiry (RFC 5280 section 3.3), or when it was on hold.
 */
function requireSuccession(site: CeremonySite, { authority, revoked }: PlannedCrl, before: ParsedCrl, path: Place): void {
  const now = new Map(revoked.map((entry, i) => [toHex(entry.serial), { entry, i }]));
  for (const [serial, old] of before.entries) {
    const found = now.get(serial);
    if (found === undefined) {
      const end = site.hierarchy.endOf(authority, serial);
      const mayLeave = old.reason === revocationReasons.certificateHold || (end !== undefined && end < before.thisUpdate);
      if (!mayLeave) refuse(site, [...path, 'revoked'], `lacks the serial ${serial}, which the CRL before (number ${before.number}) lists and whose certificate is not known to have expired: add it`);
      continue;
    }
    const what = weakening(old, found.entry);
    if (what !== undefined) refuse(site, [...path, 'revoked', found.i, 'serial'], what);
  }
}

function weakening(old: CrlEntry, next: CrlEntry & { readonly reasonName: RevocationReason }): string | undefined {
  const onRecord = (Object.keys(revocationReasons) as RevocationReason[]).find((name) => revocationReasons[name] === old.reason) ?? 'unspecified';
  if (revokedAgain(onRecord, next.reasonName) === 'conflict') return `was revoked for ${onRecord}, which ${next.reasonName} would weaken: correct the reason`;
  return old.revokedAt.getTime() === next.revokedAt.getTime() ? undefined : `was revoked at ${old.revokedAt.toISOString()} by the CRL before: correct revokedAt`;
}

/** Serials that nobody here knows: often right, for a CA has a history, but worth a second look. */
function strangers(site: CeremonySite, { authority, revoked }: PlannedCrl): (readonly [string, string])[] {
  const unknown = revoked.map(({ serial }) => toHex(serial)).filter((serial) => site.hierarchy.endOf(authority, serial) === undefined);
  return unknown.length === 0 ? [] : [['not on record', `${unknown.join(', ')}: no certificate of such a serial number is known here`]];
}
