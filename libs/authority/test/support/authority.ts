import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { caName, ecuSerial, LedgerKey, partNumber } from '@fleetroot/core';
import {
  assembleCertificate, buildRequest, CertificateTemplate, encodeName, extension, type GeneralName, keyIdentifier, type NamePart,
  parseCertificate, type ParsedCertificate, signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { CaSigner, CertificationAuthority, RequestItem } from '../../src/index.ts';

export const caStart = new Date('2026-11-01T00:00:00Z');
export const caEnd = new Date('2030-10-31T23:59:59Z');
export const ledgerKey = new LedgerKey(new Uint8Array(32).fill(7));

/** A CA with its key in memory, for tests of order and content. The HSM has tests of its own. */
export interface TestAuthority {
  readonly authority: CertificationAuthority;
  readonly certificate: ParsedCertificate;
  readonly signer: CaSigner;
}

type TestKeyKind = 'p-256' | 'p-384' | 'p-521' | 'ed25519' | 'rsa-2048' | 'rsa-3072';

function keyPair(kind: TestKeyKind): { spkiDer: Uint8Array; privateKey: KeyObject } {
  const { publicKey, privateKey } = kind === 'ed25519' ? generateKeyPairSync('ed25519')
    : kind.startsWith('rsa') ? generateKeyPairSync('rsa', { modulusLength: Number(kind.slice(4)) })
    : generateKeyPairSync('ec', { namedCurve: kind.toUpperCase() });
  return { spkiDer: publicKey.export({ format: 'der', type: 'spki' }), privateKey };
}

const signWith = (spkiDer: Uint8Array, privateKey: KeyObject, message: Uint8Array): Uint8Array => {
  const algorithm = signatureAlgorithmFor(spkiDer);
  return sign(algorithm === 'ed25519' ? null : algorithm.slice(-6), message, privateKey);
};

export function testAuthority(overrides: Partial<CertificationAuthority> = {}): TestAuthority {
  const { spkiDer, privateKey } = keyPair('p-256');
  const tbs = CertificateTemplate.compileAuthority({
    signatureAlgorithm: 'ecdsa-sha256',
    issuerDer: encodeName([{ type: 'commonName', value: 'ECU issuing' }]),
    subject: [{ type: 'commonName', from: { fixed: 'ECU issuing' } }],
    extensions: [
      extension.authorityKeyIdentifier(keyIdentifier(spkiDer)), { hole: 'subjectKeyIdentifier' },
      extension.basicConstraints({ ca: true, pathLength: 0 }), extension.keyUsage(['keyCertSign', 'cRLSign']),
    ],
  }).build({ serial: Uint8Array.of(1), notBefore: caStart, notAfter: caEnd, subject: {}, spkiDer });
  const der = assembleCertificate(tbs, 'ecdsa-sha256', signWith(spkiDer, privateKey, tbs));
  return {
    authority: {
      id: 3, name: caName('ecu-issuing'), parentId: undefined, state: 'active', certificate: der, keyId: Uint8Array.of(1),
      signatureAlgorithm: undefined, labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined,
      notBefore: caStart, notAfter: caEnd, ...overrides,
    },
    certificate: parseCertificate(der),
    signer: { ready: async () => undefined, sign: async (_ca, messages) => messages.map((message) => signWith(spkiDer, privateKey, message)) },
  };
}

/** A certification request as an ECU would make it. */
export async function csr(
  kind: TestKeyKind = 'p-256', subjectAltNames: readonly GeneralName[] = [], subject: readonly NamePart[] = [{ type: 'commonName', value: 'as it likes' }],
): Promise<Uint8Array> {
  const { spkiDer, privateKey } = keyPair(kind);
  return buildRequest({
    subject, spkiDer, subjectAltNames, algorithm: signatureAlgorithmFor(spkiDer),
  }, (info) => signWith(spkiDer, privateKey, info));
}

export const ecuItem = (ordinal: number, request: Uint8Array): RequestItem =>
  ({ ordinal, ecuSerial: ecuSerial(`ECU-${ordinal}`), partNumber: partNumber('P-4711'), csr: request });
