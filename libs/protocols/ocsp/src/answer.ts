import { type Clock, isPkiError } from '@fleetroot/core';
import { type CertificationAuthority, isTrusted, lineRevocation, signsStatus, type StatusLedger } from '@fleetroot/authority';
import {
  assembleOcspResponse, buildOcspResponseData, type CertId, type IssuerHashes, issuerHashes, keyIdentifier, namesIssuer,
  ocspErrorResponse, type OcspRequest, parseCertificate, type ParsedCertificate, parseOcspRequest, signatureAlgorithmFor,
} from '@fleetroot/x509';
import { underRevokedCa } from './revoked-ca.ts';

/** A delegated signer (RFC 6960 section 4.2.2.2), or the CA itself. */
export interface OcspSigner {
  /** DER. Give the same array each time: what is read from it is remembered by it. */
  readonly certificate: Uint8Array;
  /** Signs by the default algorithm of the certificate's key; the signature in X.509 form (ECDSA as DER). */
  sign(responseData: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

export interface OcspDeps {
  readonly ledger: Pick<StatusLedger, 'authorities' | 'statuses'>;
  /**
   * undefined: none. Where the CA signs status here there will be one soon, and the client shall try later; so it shall
   * after an error that may pass.
   */
  signerFor(caId: number): Promise<OcspSigner | undefined>;
  readonly clock: Clock;
  /** From thisUpdate to nextUpdate; cut short where the signer's certificate ends before. */
  readonly lifetimeMs: number;
  /** Hears of what became `tryLater` or `internalError`, for the log; never of what a client did wrong. */
  onError?(error: unknown): void;
}

/** What is read from a certificate never changes; it is forgotten with the object that it was read from. */
const issuers = new WeakMap<CertificationAuthority, IssuerHashes>();
const signers = new WeakMap<Uint8Array, ParsedCertificate>();

/**
 * The OCSPResponse, DER, to an OCSPRequest, DER. Never throws: what goes wrong is an error response of RFC 6960
 * section 2.3. `good` only for a serial on record, `unknown` for any other of the CA; all are `revoked` where the CA, or
 * one above it, is (RFC 6960 section 2.7). A CA is told from others by its name and its key: generations of one name are
 * CAs of their own, and a key that is certified twice is one CA. A request that names a CA that is not ours, or several
 * CAs at once, is `unauthorized`: one signer answers for one CA. So is one for a CA that has no signer and will not get
 * one here.
 */
export async function answerOcsp(requestDer: Uint8Array, deps: OcspDeps): Promise<Uint8Array> {
  let request: OcspRequest;
  try {
    request = parseOcspRequest(requestDer);
  } catch {
    return ocspErrorResponse('malformedRequest');
  }
  try {
    return await answer(request, deps);
  } catch (error) {
    deps.onError?.(error);
    return ocspErrorResponse(isPkiError(error) && error.retry === 'later' && error.code !== 'internal' ? 'tryLater' : 'internalError');
  }
}

async function answer(request: OcspRequest, deps: OcspDeps): Promise<Uint8Array> {
  const authorities = await deps.ledger.authorities();
  const authority = commonIssuer(request, authorities);
  if (authority === undefined) return ocspErrorResponse('unauthorized');
  const signer = await deps.signerFor(authority.id);
  // Read before the ledger is asked: the status is known to be right at this time, not later.
  const now = wholeSecond(deps.clock.now());
  const certificate = signer === undefined ? undefined : parsed(signer.certificate);
  if (signer === undefined || certificate === undefined || certificate.notAfter <= now || certificate.notBefore > now) {
    return ocspErrorResponse(signsStatus(authority) && isTrusted(authority, authorities) ? 'tryLater' : 'unauthorized');
  }
  const own = await deps.ledger.statuses(authority.id, request.requests.map(({ serial }) => serial));
  const ofCa = lineRevocation(authority, authorities);
  const statuses = ofCa === undefined ? own : request.requests.map((_, place) => underRevokedCa(own[place], ofCa));
  const nextUpdate = new Date(Math.min(now.getTime() + deps.lifetimeMs, certificate.notAfter.getTime()));
  const responseData = buildOcspResponseData({
    responderKeyHash: keyIdentifier(certificate.spkiDer),
    producedAt: now,
    responses: request.requests.map(({ der }, place) => ({
      certId: der, certStatus: statuses[place] ?? { status: 'unknown' }, thisUpdate: now, nextUpdate,
    })),
    nonce: request.nonce,
  });
  const signature = await signer.sign(responseData);
  return assembleOcspResponse(responseData, signatureAlgorithmFor(certificate.spkiDer), signature, [signer.certificate]);
}

function commonIssuer(
  { requests }: OcspRequest, authorities: readonly CertificationAuthority[],
): CertificationAuthority | undefined {
  const [first, ...others] = requests.map((certId) => issuerOf(certId, authorities));
  return others.every((other) => other?.id === first?.id) ? first : undefined;
}

function issuerOf(certId: CertId, authorities: readonly CertificationAuthority[]): CertificationAuthority | undefined {
  return authorities.find((authority) => {
    let hashes = issuers.get(authority);
    if (hashes === undefined) {
      hashes = issuerHashes(parseCertificate(authority.certificate));
      issuers.set(authority, hashes);
    }
    return namesIssuer(certId, hashes);
  });
}

function parsed(certificate: Uint8Array): ParsedCertificate {
  let found = signers.get(certificate);
  if (found === undefined) {
    found = parseCertificate(certificate);
    signers.set(certificate, found);
  }
  return found;
}

const wholeSecond = (date: Date): Date => new Date(Math.floor(date.getTime() / 1000) * 1000);
