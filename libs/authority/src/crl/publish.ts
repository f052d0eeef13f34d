import { hash } from 'node:crypto';
import { type Clock, crashPoint, PkiError, toHex } from '@fleetroot/core';
import {
  assembleCrl, buildCrlTbs, CrlEntries, keyIdentifier, parseCertificate, parseCrl, verifySignature,
} from '@fleetroot/x509';
import { signatureAlgorithmOf, signsStatus } from '../hierarchy/state.ts';
import type { CertificationAuthority } from '../ports/authorities.ts';
import type { CaSigner } from '../ports/ca-signer.ts';
import type { PublishedCrl } from '../ports/crl.ts';
import type { CrlLedger } from '../ports/status.ts';
import { checkCrl, flawOfSuccession } from './check.ts';

export interface CrlPublication {
  readonly crls: CrlLedger;
  readonly authority: CertificationAuthority;
  readonly signer: CaSigner;
  readonly clock: Clock;
  /** nextUpdate minus thisUpdate, in milliseconds; whole seconds count. */
  readonly lifetimeMs: number;
}

/** How far the clocks of two publishers may be apart, in milliseconds. */
const CLOCKS_DIFFER_MS = 5000;

/** Another publisher may overtake between reading the entries and the swap; so often is enough for any of them to win. */
const ATTEMPTS = 4;

/**
 * Publishes a complete CRL of one CA: number reserved, built, signed, then read back from its own octets and checked
 * against the CA and the CRL before it (I13, I15), and only then swapped in. Durable on return. The CRL that is current
 * then: this one, or a newer one of another publisher.
 * @throws PkiError `ca.not-active` for a CA that signs nothing any more, `clock.skew`, `hsm.*`; `crl.invalid` where
 *   the check fails: what was published stays
 */
export async function publishCrl(publication: CrlPublication): Promise<PublishedCrl> {
  const { authority, crls } = publication;
  if (!signsStatus(authority)) {
    throw new PkiError('ca.not-active', authority.keyId === undefined
      ? `the key of the CA ${authority.name} is not online: its CRLs come from a ceremony and are imported`
      : `the CA ${authority.name} is ${authority.state} and signs no CRL`);
  }
  for (let attempt = 1; ; attempt++) {
    // While the HSM is away no number is reserved that nothing would come of.
    await publication.signer.ready(authority);
    const crl = await buildCrl(publication);
    const before = await crls.latest(authority.id);
    if (before !== undefined && before.number > crl.published.number) return before;
    crashPoint('crl.signed');
    const flaw = before === undefined ? undefined : await flawOfSuccession(crls, before, crl.parsed);
    if (flaw === undefined) {
      if (await publish(publication, crl.published)) return crl.published;
      const winner = await crls.latest(authority.id);
      if (winner === undefined) throw new PkiError('internal', 'a newer CRL was published and is gone');
      return winner;
    }
    // Another publisher may have overtaken us since our entries were read: then a new reading has what its CRL lists.
    if (attempt === ATTEMPTS) throw flaw;
  }
}

interface BuiltCrl {
  readonly published: PublishedCrl;
  readonly parsed: ReturnType<typeof parseCrl>;
}

async function buildCrl({ crls, authority, signer, clock, lifetimeMs }: CrlPublication): Promise<BuiltCrl> {
  const issuer = parseCertificate(authority.certificate);
  const signatureAlgorithm = signatureAlgorithmOf(authority);
  const authorityKeyIdentifier = issuer.subjectKeyIdentifier ?? keyIdentifier(issuer.spkiDer);
  const thisUpdate = notBefore(wholeSecond(clock.now()), (await crls.latest(authority.id))?.thisUpdate);
  const nextUpdate = new Date(thisUpdate.getTime() + Math.max(1, Math.floor(lifetimeMs / 1000)) * 1000);
  const number = await crls.reserve(authority.id, thisUpdate, nextUpdate);
  crashPoint('crl.reserved');

  // After the reservation: whoever reserved a lower number has no later entries than these, or checks again.
  const entries = new CrlEntries();
  for await (const entry of crls.entries(authority.id)) entries.add(entry);
  const tbs = buildCrlTbs({
    signatureAlgorithm, issuerDer: issuer.subjectDer, thisUpdate, nextUpdate, number, authorityKeyIdentifier, entries,
  });
  const [signature, ...more] = await signer.sign(authority, [tbs], 'crl');
  if (signature === undefined || more.length > 0 || !verifySignature(issuer.spkiDer, signatureAlgorithm, tbs, signature)) {
    throw new PkiError('hsm.signature-invalid', `the signature of a CRL of ${authority.name} does not verify under the CA's certificate`);
  }
  const der = assembleCrl(tbs, signatureAlgorithm, signature);
  const parsed = parseCrl(der);
  checkCrl(parsed, { issuer, authorityKeyIdentifier, number, thisUpdate, nextUpdate, entries: entries.count });
  return {
    published: {
      caId: authority.id, scope: 'all', kind: 'full', number, baseNumber: undefined, thisUpdate, nextUpdate,
      entries: entries.count, sha256: hash('sha256', der, 'buffer'), der,
    },
    parsed,
  };
}

const wholeSecond = (time: Date): Date => new Date(Math.floor(time.getTime() / 1000) * 1000);

/**
 * thisUpdate never goes back (I13), also where the publisher before us has a clock that is a little ahead of ours. A
 * clock that is further behind is left as it is: the ledger refuses it.
 */
function notBefore(now: Date, previous: Date | undefined): Date {
  const behind = previous === undefined ? 0 : previous.getTime() - now.getTime();
  return previous !== undefined && behind > 0 && behind <= CLOCKS_DIFFER_MS ? previous : now;
}

function publish({ crls, authority, clock }: CrlPublication, crl: PublishedCrl): Promise<boolean> {
  return crls.publish(crl, {
    action: 'crl.published', actor: 'system:issuer', at: clock.now(), subject: `ca:${authority.name}`,
    data: {
      number: crl.number.toString(), thisUpdate: crl.thisUpdate.toISOString(), nextUpdate: crl.nextUpdate.toISOString(),
      entries: crl.entries, sha256: toHex(crl.sha256),
    },
  });
}
