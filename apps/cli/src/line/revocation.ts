import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { decodePem, parseCertificate, parseCrl } from '@fleetroot/x509';
import type { Openssl } from './openssl.ts';
import type { FittedCertificate } from './production.ts';
import type { RestClient } from './rest.ts';
import type { Truststore } from './truststore.ts';

export interface RevocationOptions {
  /** All certificates of the vehicle that is revoked. */
  readonly vehicle: readonly FittedCertificate[];
  /** One of another vehicle, which stays good. */
  readonly other: FittedCertificate;
  readonly security: RestClient;
  readonly truststore: Truststore;
  readonly openssl: Openssl;
  readonly signal: AbortSignal;
}

export interface Revoked {
  readonly certificatesPerSecond: number;
  /** From the last revocation's answer until the CRL held them all. */
  readonly crlAfterMs: number;
  readonly crlEntries: number;
}

const CRL_WITHIN_MS = 60_000;

/**
 * Revokes a vehicle's certificates and has OpenSSL say what it sees before and after: OCSP good, then revoked; the CRL
 * at the certificate's own distribution point refuses it, and lets another vehicle's pass.
 * @throws Error that says what was seen instead
 */
export async function revokeVehicle({ vehicle, other, security, truststore, openssl, signal }: RevocationOptions): Promise<Revoked> {
  const [sample] = vehicle;
  if (sample === undefined) throw new Error('the vehicle has no certificate');
  const anchors = openssl.file('truststore.pem', truststore.pem);
  const issuer = openssl.file('issuer.pem', truststore.issuerOf(new X509Certificate(sample.pem)).toString());
  const revoked = openssl.file('revoked.pem', sample.pem);
  const good = openssl.file('good.pem', other.pem);
  const { ocspUrl, crlUrl } = pointers(sample.pem);
  const ocsp = (certificate: string): Promise<string> => openssl.ocsp(anchors, issuer, certificate, ocspUrl);

  expect('OCSP before the revocation', await ocsp(revoked), 'good');
  const start = performance.now();
  for (const { serial } of vehicle) await security.post(`/v1/certificates/${serial}/revocation`, { reason: 'cessationOfOperation' });
  const began = performance.now();
  expect('OCSP after the revocation', await ocsp(revoked), 'revoked');
  expect('OCSP of another vehicle', await ocsp(good), 'good');

  const crl = await crlWith(vehicle.map(({ serial }) => serial), crlUrl, signal);
  const crlAfterMs = performance.now() - began;
  const der = openssl.file('issuer.crl', crl.der);
  const said = await openssl.must('crl', '-inform', 'DER', '-in', der, '-CAfile', anchors, '-noout');
  if (!said.includes('verify OK')) throw new Error(`openssl crl could not verify the CRL: ${said.trim()}`);
  await openssl.must('crl', '-inform', 'DER', '-in', der, '-out', 'issuer.crl.pem');
  expect('openssl verify with the CRL', await openssl.revokedByCrl(anchors, 'issuer.crl.pem', revoked), true);
  expect('openssl verify of another vehicle with the CRL', await openssl.revokedByCrl(anchors, 'issuer.crl.pem', good), false);
  return { certificatesPerSecond: (vehicle.length * 1000) / (began - start), crlAfterMs, crlEntries: crl.entries };
}

function expect<T>(what: string, seen: T, wanted: T): void {
  if (seen !== wanted) throw new Error(`${what}: ${String(seen)}, and not ${String(wanted)}`);
}

/** Where the certificate itself says that its status is found. */
function pointers(pem: string): { ocspUrl: string; crlUrl: string } {
  const [block] = decodePem(pem, 'certificate.malformed');
  const { ocspUrls: [ocspUrl], crlUrls: [crlUrl] } = parseCertificate(block?.der ?? new Uint8Array(0));
  if (ocspUrl === undefined || crlUrl === undefined) throw new Error('the certificate does not say where its status is found');
  return { ocspUrl, crlUrl };
}

/** The CRL, once it holds every one of the serials. */
async function crlWith(serials: readonly string[], url: string, signal: AbortSignal): Promise<{ der: Uint8Array; entries: number }> {
  for (const until = performance.now() + CRL_WITHIN_MS; ; await sleep(150, undefined, { signal })) {
    const { statusCode, body } = await request(url, { signal });
    const der = new Uint8Array(await body.arrayBuffer());
    if (statusCode === 200) {
      const { entries } = parseCrl(der);
      if (serials.every((serial) => entries.has(serial))) return { der, entries: entries.size };
    }
    if (performance.now() > until) throw new Error(`the CRL at ${url} does not hold the revoked certificates after ${CRL_WITHIN_MS / 1000} s`);
  }
}
