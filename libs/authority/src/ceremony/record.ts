import { caName, isPkiError } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { z } from 'zod';
import { isVisibleLine } from './visible.ts';

/** What the files of a folder of ceremonies hold. Fields that came later have defaults: older folders are read as they are. */

const hex = z.string().regex(/^(?:[0-9a-f]{2})+$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const instant = z.iso.datetime();
/** A file of the folder itself: never a path out of it. */
export const ceremonyFile = z.string().regex(/^[a-z0-9][a-z0-9.-]*\.(?:cer|csr|crl)$/);
/** SHA-256 over what the plan said of it: the same again is recognised, and another plan for the same name refused. */
const planned = sha256;

/** What a CA of a ceremony may sign with. */
export const signatureAlgorithms = [
  'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512', 'ed25519', 'rsa-sha256', 'rsa-sha384', 'rsa-sha512',
  'rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512',
] as const satisfies readonly SignatureAlgorithm[];

export const isLabelName = (text: string): boolean => /^[a-z][a-z0-9-]{0,31}$/.test(text);

const labels = z.record(z.string().refine(isLabelName), z.string().max(200).refine(isVisibleLine));

/** A CA; its certificate is NAME.cer. */
const heldRecord = z.strictObject({
  name: z.string().refine(isCaName), parent: z.string().nullable(),
  /** null: its key is not in a token of this installation. */
  keyId: hex.nullable(), sha256, notBefore: instant, notAfter: instant, planned,
  succeeds: z.string().nullable().default(null), signatureAlgorithm: z.enum(signatureAlgorithms).nullable().default(null),
  labels: labels.default({}),
});

/** Another certificate than the first of a CA: renewed, by another issuer, or of an OCSP signer. */
const certificateRecord = z.strictObject({
  file: ceremonyFile, kind: z.enum(['ca', 'cross', 'ocsp-signer']), subject: z.string().nullable(), issuer: z.string().nullable(), sha256, planned,
});

const requestRecord = z.strictObject({ name: z.string(), keyId: hex, file: ceremonyFile, sha256, planned });

const crlRecord = z.strictObject({
  authority: z.string(), number: z.string().regex(/^\d+$/), file: ceremonyFile, sha256, thisUpdate: instant, nextUpdate: instant, planned,
});

/** The key in a token that signs transcripts, and nothing else. */
const ceremonyKeyRecord = z.strictObject({ keyId: hex, spki: z.base64() });

export const ceremonyRecord = z.strictObject({
  authorities: z.array(heldRecord).default([]),
  certificates: z.array(certificateRecord).default([]),
  requests: z.array(requestRecord).default([]),
  crls: z.array(crlRecord).default([]),
  ceremonyKeys: z.array(ceremonyKeyRecord).default([]),
});

/** What fixes an object that is to be signed, on disk before its key exists. */
export const intentRecord = z.strictObject({
  name: z.string(), basis: sha256, keyId: hex, serial: hex,
  /** thisUpdate of a CRL. */
  notBefore: instant,
  /** Of a CRL. */
  number: z.string().regex(/^\d+$/).optional(),
});

export type HeldRecord = z.infer<typeof heldRecord>;
export type CertificateRecord = z.infer<typeof certificateRecord>;
export type RequestRecord = z.infer<typeof requestRecord>;
export type CrlRecord = z.infer<typeof crlRecord>;
export type CeremonyRecord = z.infer<typeof ceremonyRecord>;
export type IntentRecord = z.infer<typeof intentRecord>;

function isCaName(text: string): boolean {
  try {
    return caName(text) === text;
  } catch (error) {
    if (isPkiError(error)) return false;
    throw error;
  }
}
