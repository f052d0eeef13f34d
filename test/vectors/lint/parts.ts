import { createECDH } from 'node:crypto';
import {
  algorithmIdentifier, assembleCertificate, der, encodeExtension, encodeName, type Extension, extension, keyIdentifier, type LintKind,
  parseCertificate,
} from '@fleetroot/x509';

/** The public key of a private key that anybody can count to: always the same, and good for nothing. */
function spkiOf(privateKey: number, curve: 'prime256v1' | 'secp256k1' = 'prime256v1', oid = '1.2.840.10045.3.1.7'): Uint8Array {
  const ecdh = createECDH(curve);
  const octets = Buffer.alloc(32);
  octets[31] = privateKey;
  ecdh.setPrivateKey(octets);
  return der.sequence(der.sequence(der.oid('1.2.840.10045.2.1'), der.oid(oid)), der.bitString(ecdh.getPublicKey()));
}

export const caSpki = spkiOf(2);
export const leafSpki = spkiOf(3);
export const secp256k1Spki = spkiOf(4, 'secp256k1', '1.3.132.0.10');
export const caName = encodeName([{ type: 'commonName', value: 'ECU Issuing 1' }]);
export const leafName = encodeName([{ type: 'commonName', value: 'TCU-26-01' }]);

/** A TBSCertificate in pieces, so that each can be broken. */
export interface Fields {
  readonly version: Uint8Array;
  readonly serial: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBefore: Uint8Array;
  readonly notAfter: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  /** By names of our own; undefined leaves one out. */
  readonly extensions: Readonly<Record<string, Extension | Uint8Array | undefined>>;
}

const common = {
  version: der.explicit(0, der.integer(2)),
  serial: der.integer(new Uint8Array(16).fill(0x41)),
  algorithm: algorithmIdentifier('ecdsa-sha256'),
  issuer: caName,
  notBefore: der.time(new Date('2026-11-22T12:00:00Z')),
  notAfter: der.time(new Date('2036-11-22T12:00:00Z')),
};
const aki = extension.authorityKeyIdentifier(keyIdentifier(caSpki));

/** Certificates that no rule has anything against: the CA of that kind signs itself, and the others. */
export const good: Readonly<Record<LintKind, Fields>> = {
  leaf: {
    ...common, subject: leafName, spki: leafSpki,
    extensions: {
      bc: extension.basicConstraints({ ca: false }), ku: extension.keyUsage(['digitalSignature']), eku: extension.extendedKeyUsage(['clientAuth']),
      san: extension.subjectAltName([{ kind: 'dns', value: 'tcu.example' }], false), ski: extension.subjectKeyIdentifier(keyIdentifier(leafSpki)), aki,
      aia: extension.authorityInformationAccess({ ocsp: 'http://status.example/ocsp' }), cdp: extension.crlDistributionPoints(['http://status.example/a.crl']),
    },
  },
  'ocsp-signer': {
    ...common, subject: leafName, spki: leafSpki,
    extensions: {
      ku: extension.keyUsage(['digitalSignature']), eku: extension.extendedKeyUsage(['OCSPSigning']), nocheck: extension.ocspNoCheck(), aki,
    },
  },
  ca: {
    ...common, subject: caName, spki: caSpki, notAfter: der.time(new Date('2046-11-22T12:00:00Z')),
    extensions: {
      bc: extension.basicConstraints({ ca: true, pathLength: 0 }), ku: extension.keyUsage(['keyCertSign', 'cRLSign']),
      ski: extension.subjectKeyIdentifier(keyIdentifier(caSpki)),
    },
  },
};

/** What differs from a good one; extensions one by one. */
export const changed = (kind: LintKind, change: Partial<Fields>): Fields =>
  ({ ...good[kind], ...change, extensions: { ...good[kind].extensions, ...change.extensions } });

/** Every extension of that kind left out. */
export const noExtensions = (kind: LintKind): Fields['extensions'] =>
  Object.fromEntries(Object.keys(good[kind].extensions).map((key) => [key, undefined]));

export function tbsOf(fields: Fields): Uint8Array {
  const encoded = Object.values(fields.extensions).flatMap((one) =>
    one === undefined ? [] : [one instanceof Uint8Array ? one : encodeExtension(one)]);
  return der.sequence(
    fields.version, fields.serial, fields.algorithm, fields.issuer, der.sequence(fields.notBefore, fields.notAfter), fields.subject, fields.spki,
    ...(encoded.length === 0 ? [] : [der.explicit(3, der.sequence(...encoded))]),
  );
}

export const raw = (oid: string, critical: boolean, value: Uint8Array): Extension => ({ oid, critical, value });

/** A name of one attribute, in whatever string type. */
export const name = (dotted: string, tagOctet: number, value: string): Uint8Array =>
  der.sequence(der.tlv(der.tag.set, der.sequence(der.oid(dotted), der.tlv(tagOctet, Buffer.from(value)))));

/** An otherName hardwareModuleName. */
export const hardwareModule = (serial: Uint8Array): Uint8Array => der.tlv(
  der.contextTag(0, true), der.oid('1.3.6.1.5.5.7.8.4'), der.explicit(0, der.sequence(der.oid('1.3.6.1.4.1.99999.1'), der.octetString(serial))),
);

/** r = s = 1: it has the form of a signature. Lint looks at what is to be signed. */
export const throwAwaySignature = der.sequence(der.integer(1), der.integer(1));

export const issuer = parseCertificate(assembleCertificate(tbsOf(good.ca), 'ecdsa-sha256', throwAwaySignature));
