import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as peculiar from '@peculiar/x509';
import { processorSeconds } from './processor-time.ts';

const CERTIFICATES = 500;

/**
 * Certificates a second of processor time that @peculiar/x509 makes of the same fields as profile ecu-client. It cannot build without
 * signing; `unsigned` is the rate that is left when the time of its signatures, measured alone, is taken away.
 */
export async function peculiarRates(issuerSpki: Uint8Array, subjectSpki: Uint8Array): Promise<{ certificates: number; unsigned: number }> {
  const crypto = webcrypto as Crypto;
  const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
  const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const issuerKey = new Uint8Array(issuerSpki);
  const publicKey = new Uint8Array(subjectSpki);
  const create = async (n: number): Promise<void> => {
    await peculiar.X509CertificateGenerator.create({
      serialNumber: (0x4000_0000 + n).toString(16), issuer: 'CN=ECU issuing', subject: `OU=BENCH-1,CN=BX-${n}`,
      notBefore: new Date('2026-11-22T12:00:00Z'), notAfter: new Date('2028-11-22T12:00:00Z'), publicKey,
      signingKey: privateKey, signingAlgorithm,
      extensions: [
        new peculiar.KeyUsagesExtension(peculiar.KeyUsageFlags.digitalSignature, true),
        new peculiar.ExtendedKeyUsageExtension([peculiar.ExtendedKeyUsage.clientAuth]),
        await peculiar.SubjectKeyIdentifierExtension.create(publicKey, false, crypto),
        await peculiar.AuthorityKeyIdentifierExtension.create(issuerKey, false, crypto),
        new peculiar.AuthorityInfoAccessExtension({ ocsp: 'http://status.vehicle.example/ocsp', caIssuers: 'http://status.vehicle.example/ca/ecu-issuing.cer' }),
        new peculiar.CRLDistributionPointsExtension(['http://status.vehicle.example/crl/ecu-issuing.crl']),
      ],
    }, crypto);
  };
  const message = new Uint8Array(500);
  const seconds = async (run: (n: number) => Promise<unknown>): Promise<number> => {
    const before = process.cpuUsage();
    for (let n = 0; n < CERTIFICATES; n++) await run(n);
    return processorSeconds(before) / CERTIFICATES;
  };
  await seconds(create);
  const whole = await seconds(create);
  const signature = await seconds(() => crypto.subtle.sign(signingAlgorithm, privateKey, message));
  return { certificates: 1 / whole, unsigned: 1 / (whole - signature) };
}
