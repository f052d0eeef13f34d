import { randomBytes } from 'node:crypto';
import { type CaSigner, signatureAlgorithmOf } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import { openSigner } from '@fleetroot/hsm';
import {
  assembleCertificate, CertificateTemplate, encodeName, extension, keyIdentifier, signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { TestToken } from './softhsm.ts';

interface CaKey {
  readonly keyId: Uint8Array;
  readonly spkiDer: Uint8Array;
}

/** CAs whose keys are in one SoftHSM token, by their common names. */
export interface HsmHierarchy {
  key(name: string): CaKey;
  /** A CA certificate of `subject`, signed in the token; by itself where no issuer is named. DER. */
  certify(subject: string, issuer?: string, notAfter?: Date): Promise<Uint8Array>;
  readonly signer: CaSigner;
  close(): Promise<void>;
}

export const years = (n: number): Date => new Date(Math.floor(Date.now() / 1000) * 1000 + n * 365 * 86_400_000);

export async function makeHierarchy(token: TestToken, names: readonly string[]): Promise<HsmHierarchy> {
  const keys = new Map<string, CaKey>();
  for (const name of names) keys.set(name, await token.generateKey('p-256', name));
  const { module, tokenLabel, pin, softhsmConf } = token;
  const hsm = await openSigner({ module, tokenLabel, pin, softhsmConf, deadlineMs: 5000, sessionCopies: 'try', keys: [...keys.values()] });
  const key = (name: string): CaKey => {
    const found = keys.get(name);
    if (found === undefined) throw new Error(`no key called ${name}`);
    return found;
  };
  return {
    key,
    async certify(subject, issuer = subject, notAfter = years(10)) {
      const by = key(issuer);
      const signatureAlgorithm = signatureAlgorithmFor(by.spkiDer);
      const tbs = CertificateTemplate.compileAuthority({
        signatureAlgorithm, issuerDer: encodeName([{ type: 'commonName', value: issuer }]),
        subject: [{ type: 'commonName', from: { fixed: subject } }],
        extensions: [
          extension.authorityKeyIdentifier(keyIdentifier(by.spkiDer)), { hole: 'subjectKeyIdentifier' },
          extension.basicConstraints({ ca: true }), extension.keyUsage(['keyCertSign', 'cRLSign']),
        ],
      }).build({
        serial: Buffer.concat([Buffer.of(0x41), randomBytes(15)]), notBefore: new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000), notAfter,
        subject: {}, spkiDer: key(subject).spkiDer,
      });
      const [signature = new Uint8Array(0)] = await hsm.sign(by.keyId, signatureAlgorithm, [tbs]);
      return assembleCertificate(tbs, signatureAlgorithm, signature);
    },
    signer: {
      ready: async () => undefined,
      sign: (authority, tbs) => {
        if (authority.keyId === undefined) throw new PkiError('ca.not-active', `${authority.name} has no key here`);
        return hsm.sign(authority.keyId, signatureAlgorithmOf(authority), tbs);
      },
    },
    close: () => hsm.close(),
  };
}
