import { hash } from 'node:crypto';
import { type CertificateLedger, type CertificateRecord, type CertificationAuthority, isTrusted } from '@fleetroot/authority';
import { type Clock, equalBytes, isPkiError, PkiError, serialFromBytes } from '@fleetroot/core';
import type { RegistrationLedger } from '@fleetroot/fleet';
import { parseCertificate, validatePath } from '@fleetroot/x509';

export interface OperationalCertificateParts {
  readonly authorities: () => Promise<readonly CertificationAuthority[]>;
  readonly certificates: Pick<CertificateLedger, 'find'>;
  readonly refusals: Pick<RegistrationLedger, 'refuse'>;
  readonly clock: Clock;
}

/** Recognises ECUs by the certificates that we issued to them. */
export class OperationalCertificates {
  readonly #parts: OperationalCertificateParts;

  constructor(parts: OperationalCertificateParts) {
    this.#parts = parts;
  }

  /**
   * The record of the certificate that a client presented: on record octet for octet, of an ECU, issued by a CA of ours
   * and valid now, not revoked.
   * @param chain as the client sent it; the handshake has proven the key of the first
   * @throws PkiError `registration.*`; the refusal is on record
   */
  async recognise(chain: readonly Uint8Array[]): Promise<CertificateRecord> {
    try {
      return await this.#recognise(chain);
    } catch (error) {
      if (isPkiError(error) && error.code.startsWith('registration.')) {
        const [leaf] = chain;
        await this.#parts.refusals.refuse({
          at: this.#parts.clock.now(), code: error.code, detail: error.message,
          ...(leaf === undefined ? {} : { certificateSha256: hash('sha256', leaf, 'buffer') }),
        });
      }
      throw error;
    }
  }

  async #recognise([leaf]: readonly Uint8Array[]): Promise<CertificateRecord> {
    if (leaf === undefined) throw new PkiError('registration.certificate-missing');
    const authorities = await this.#parts.authorities();
    const issuer = issuerOf(leaf, authorities, this.#parts.clock.now());
    const record = await this.#onRecord(leaf, issuer);
    if (record.ecuSerial === undefined) throw new PkiError('registration.identity-missing', 'the certificate is not that of an ECU');
    if (record.revocation !== undefined) throw new PkiError('registration.certificate-revoked', `revoked: ${record.revocation.reason}`);
    return record;
  }

  async #onRecord(leaf: Uint8Array, issuer: CertificationAuthority): Promise<CertificateRecord> {
    try {
      const record = await this.#parts.certificates.find(serialFromBytes(parseCertificate(leaf).serial), issuer.name);
      if (equalBytes(record.certificate, leaf)) return record;
    } catch (error) {
      if (!isPkiError(error) || error.code !== 'certificate.not-found') throw error;
    }
    throw new PkiError('registration.not-registered', 'the certificate is not on record');
  }
}

/** Our CA that issued the certificate, where that is valid now. One that is revoked or retired, or below such a one, vouches for nobody. */
function issuerOf(leaf: Uint8Array, authorities: readonly CertificationAuthority[], time: Date): CertificationAuthority {
  const trusted = authorities.filter((ca) => isTrusted(ca, authorities));
  try {
    return issuerAmong(trusted, leaf, time);
  } catch (cause) {
    if (!isPkiError(cause) || cause.code === 'internal') throw cause;
    const reason = cause.data['reason'];
    if (reason === 'no-anchor') throw refusal(leaf, authorities.filter((ca) => !trusted.includes(ca)), time, cause);
    const code = reason === 'expired' || reason === 'not-yet-valid' ? 'registration.certificate-expired' : 'registration.path-invalid';
    throw new PkiError(code, cause.message, { cause, data: cause.data });
  }
}

/** @throws PkiError as `validatePath` */
function issuerAmong(cas: readonly CertificationAuthority[], leaf: Uint8Array, time: Date): CertificationAuthority {
  // Each CA of ours is an anchor of its own: the ledger knows them, so no path above them needs to be walked.
  const path = validatePath({ leaf, intermediates: [], anchors: cas.map(({ certificate }) => certificate), time, purpose: 'clientAuth' });
  const issuer = cas[path.anchor];
  if (issuer === undefined) throw new PkiError('internal', 'a valid path without an anchor');
  return issuer;
}

/** Why a certificate is refused that no trusted CA of ours issued. */
function refusal(leaf: Uint8Array, untrusted: readonly CertificationAuthority[], time: Date, cause: PkiError): PkiError {
  try {
    const { name } = issuerAmong(untrusted, leaf, time);
    return new PkiError('registration.certificate-revoked', `the CA ${name}, which issued it, or one above is revoked or retired`, { cause });
  } catch {
    return new PkiError('registration.not-registered', 'the certificate is none of ours', { cause });
  }
}
