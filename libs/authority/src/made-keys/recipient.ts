import { type Clock, equalBytes, isPkiError, PkiError, serialFromBytes } from '@fleetroot/core';
import { decodePem, type ParsedCertificate, parseCertificate, recipientFault, validatePath } from '@fleetroot/x509';
import { isTrusted } from '../hierarchy/lineage.ts';
import type { CertificationAuthority } from '../ports/authorities.ts';
import type { CertificateLedger } from '../ports/status.ts';

export interface RecipientParts {
  readonly authorities: () => Promise<readonly CertificationAuthority[]>;
  readonly certificates: Pick<CertificateLedger, 'find'>;
  readonly clock: Clock;
}

/**
 * The certificate that keys may be encrypted to: one, in PEM, that this installation issued and has on record octet for
 * octet, valid now, not revoked, its CA and all above trusted, with a key and a key usage to encrypt to. Certificates of
 * others are refused: whether they are revoked is not known here, and a key in the wrong hands cannot be called back.
 * @throws PkiError `key.recipient-refused`
 */
export async function keyRecipient(pem: string, { authorities, certificates, clock }: RecipientParts): Promise<ParsedCertificate> {
  const certificate = read(pem);
  const fault = recipientFault(certificate);
  if (fault !== undefined) throw refused(fault);
  const issuer = issuerOf(certificate, await authorities(), clock.now());
  const record = await onRecord(certificate, issuer, certificates);
  if (record.revocation !== undefined) throw refused(`it is revoked: ${record.revocation.reason}`);
  return certificate;
}

function read(pem: string): ParsedCertificate {
  const [block, ...more] = decodePem(pem, 'key.recipient-refused');
  if (block?.label !== 'CERTIFICATE' || more.length > 0) throw refused('exactly one certificate in PEM is expected');
  try {
    return parseCertificate(block.der);
  } catch (cause) {
    if (!isPkiError(cause)) throw cause;
    throw refused(cause.message, cause);
  }
}

/** Each CA of ours is an anchor of its own: the ledger knows them, so that no path above needs to be walked. */
function issuerOf({ der }: ParsedCertificate, all: readonly CertificationAuthority[], time: Date): CertificationAuthority {
  const trusted = all.filter((ca) => isTrusted(ca, all));
  try {
    const path = validatePath({ leaf: der, intermediates: [], anchors: trusted.map(({ certificate }) => certificate), time });
    const issuer = trusted[path.anchor];
    if (issuer !== undefined && !parseCertificate(der).isCa) return issuer;
  } catch (cause) {
    if (!isPkiError(cause) || cause.code === 'internal') throw cause;
    throw refused(cause.data['reason'] === 'no-anchor' ? 'no CA of this installation that is trusted has issued it' : cause.message, cause);
  }
  throw refused('it is the certificate of a CA');
}

async function onRecord({ der, serial }: ParsedCertificate, { name }: CertificationAuthority, certificates: Pick<CertificateLedger, 'find'>) {
  try {
    const record = await certificates.find(serialFromBytes(serial), name);
    if (equalBytes(record.certificate, der)) return record;
  } catch (error) {
    if (!isPkiError(error) || error.code !== 'certificate.not-found') throw error;
  }
  throw refused('it is not on record here');
}

const refused = (why: string, cause?: unknown): PkiError =>
  new PkiError('key.recipient-refused', `the certificate of the recipient is refused: ${why}`, cause === undefined ? {} : { cause });
