import { type CaSigner, type NewAuthority, signatureAlgorithmOf } from '@fleetroot/authority';
import { caName } from '@fleetroot/core';
import { type KeyAlgorithm, openSigner, type Signer } from '@fleetroot/hsm';
import {
  assembleCertificate, CertificateTemplate, encodeName, extension, keyIdentifier, signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { TestToken } from './softhsm.ts';

/** A self-signed CA whose key is in a SoftHSM token. */
export interface HsmCa {
  readonly authority: NewAuthority;
  readonly spkiDer: Uint8Array;
  /** Signs by the token, and keeps what it signed: an independent record of C_Sign (I2). */
  readonly signer: CaSigner & { readonly signed: Uint8Array[] };
  close(): Promise<void>;
}

export async function makeHsmCa(token: TestToken, name = 'ecu-issuing', algorithm: KeyAlgorithm = 'p-256'): Promise<HsmCa> {
  const { keyId, spkiDer } = await token.generateKey(algorithm, name);
  const signer: Signer = await openSigner({
    module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, softhsmConf: token.softhsmConf, deadlineMs: 5000,
    sessionCopies: 'try', keys: [{ keyId, spkiDer }],
  });
  const signatureAlgorithm = signatureAlgorithmFor(spkiDer);
  const notBefore = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000);
  const notAfter = new Date(notBefore.getTime() + 10 * 365 * 86_400_000);
  const tbs = CertificateTemplate.compileAuthority({
    signatureAlgorithm, issuerDer: encodeName([{ type: 'commonName', value: name }]),
    subject: [{ type: 'commonName', from: { fixed: name } }],
    extensions: [
      extension.authorityKeyIdentifier(keyIdentifier(spkiDer)), { hole: 'subjectKeyIdentifier' },
      extension.basicConstraints({ ca: true }), extension.keyUsage(['keyCertSign', 'cRLSign']),
    ],
  }).build({ serial: Uint8Array.of(0x41, 1, 2, 3, 4, 5, 6, 7, 8, 9), notBefore, notAfter, subject: {}, spkiDer });
  const [signature = new Uint8Array(0)] = await signer.sign(keyId, signatureAlgorithm, [tbs]);
  const signed: Uint8Array[] = [];
  return {
    authority: {
      name: caName(name), parentId: undefined, state: 'active', certificate: assembleCertificate(tbs, signatureAlgorithm, signature),
      keyId, signatureAlgorithm: undefined, labels: {}, notBefore, notAfter,
    },
    spkiDer,
    signer: {
      signed,
      ready: async () => undefined,
      sign: async (authority, messages) => {
        signed.push(...messages);
        return signer.sign(authority.keyId ?? keyId, signatureAlgorithmOf(authority), messages);
      },
    },
    close: () => signer.close(),
  };
}
