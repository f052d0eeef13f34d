import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  algorithmIdentifier, assembleCertificate, der, digestOf, encodeExtension, encodeName, extension, type Extension,
  keyIdentifier, type NamePart, signatureAlgorithmFor,
} from '@fleetroot/x509';

/** A CA, or any holder of a certificate, whose key is in memory: for tests only. */
export interface SoftwareCa {
  readonly certificate: Uint8Array;
  readonly subjectDer: Uint8Array;
  readonly spkiDer: Uint8Array;
  readonly keyId: Uint8Array;
  /** Signature in X.509 form by the default algorithm of the key. */
  sign(message: Uint8Array): Uint8Array;
  /** PKCS #8, PEM. */
  readonly keyPem: string;
}

export interface CertificateFields {
  readonly subject: readonly NamePart[];
  /** undefined: self-signed. */
  readonly issuer?: SoftwareCa | undefined;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly serial?: number | bigint | Uint8Array;
  /** Instead of those that a CA, or a leaf, has by default. */
  readonly extensions?: readonly Extension[];
  /** Instead of a new P-256 key. */
  readonly key?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  /** Instead of the hash of the key. */
  readonly keyId?: Uint8Array;
  /** Breaks the certificate: signs by another key. */
  readonly forged?: boolean;
}

export const notBefore = new Date('2026-01-01T00:00:00Z');
export const notAfter = new Date('2030-01-01T00:00:00Z');
export const caRights = [extension.basicConstraints({ ca: true }), extension.keyUsage(['keyCertSign', 'cRLSign'])];

let serials = 1000;

export const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** A certificate and its key; of a CA unless `extensions` say otherwise. */
export function certify(fields: CertificateFields): SoftwareCa {
  const { publicKey, privateKey } = fields.key ?? p256();
  const spkiDer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const keyId = fields.keyId ?? keyIdentifier(spkiDer);
  const own = {
    spkiDer, keyId, subjectDer: encodeName(fields.subject),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    sign: (message: Uint8Array) => new Uint8Array(sign(digestOf(signatureAlgorithmFor(spkiDer)) ?? null, message, privateKey)),
  };
  const issuer = fields.issuer ?? own;
  const extensions = [
    ...(fields.extensions ?? caRights),
    extension.subjectKeyIdentifier(keyId),
    ...(fields.issuer === undefined ? [] : [extension.authorityKeyIdentifier(fields.issuer.keyId)]),
  ];
  const issuerAlgorithm = signatureAlgorithmFor(issuer.spkiDer);
  const tbs = der.sequence(
    der.explicit(0, der.integer(2)),
    der.integer(fields.serial ?? ++serials),
    algorithmIdentifier(issuerAlgorithm),
    issuer.subjectDer,
    der.sequence(der.time(fields.notBefore ?? notBefore), der.time(fields.notAfter ?? notAfter)),
    own.subjectDer,
    spkiDer,
    der.explicit(3, der.sequence(...extensions.map(encodeExtension))),
  );
  const signature = fields.forged === true ? new Uint8Array(sign('sha256', tbs, p256().privateKey)) : issuer.sign(tbs);
  return { ...own, certificate: assembleCertificate(tbs, issuerAlgorithm, signature) };
}

/** A name of one commonName. */
export const named = (commonName: string): NamePart[] => [{ type: 'commonName', value: commonName }];
