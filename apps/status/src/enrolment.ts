import { createHmac } from 'node:crypto';
import { type Secret, toBase64 } from '@fleetroot/core';
import { buildRequest, encodePem, signatureAlgorithmFor } from '@fleetroot/x509';
import type { OcspSigners } from './ocsp-signers.ts';
import type { SignerKey } from './signer-key.ts';

/** What the worker takes to the issuer. */
export interface OcspSignerRequest {
  /** Name of the CA. */
  readonly ca: string;
  /** PKCS#10, base64 of the DER. */
  readonly csr: string;
  /** HMAC-SHA-256 over `CA\nCSR` by the secret that status and worker share, in hex: proof of who asks. */
  readonly hmac: string;
}

/** Asks for the certificates of our key that are missing or due. */
export class Enrolment {
  readonly #signers: Pick<OcspSigners, 'due'>;
  readonly #key: SignerKey;
  readonly #secret: Secret;
  /** One request for all CAs and for the life of the process: nothing in it but the key ever matters. */
  #csr: Promise<Uint8Array> | undefined;

  constructor(signers: Pick<OcspSigners, 'due'>, key: SignerKey, secret: Secret) {
    this.#signers = signers;
    this.#key = key;
    this.#secret = secret;
  }

  async requests(): Promise<readonly OcspSignerRequest[]> {
    const due = await this.#signers.due();
    if (due.length === 0) return [];
    const csr = toBase64(await this.#request());
    return due.map(({ name }) => ({ ca: name, csr, hmac: enrolmentHmac(this.#secret, name, csr) }));
  }

  /** The request by itself, PEM: for a ceremony of a CA whose key is not online, also before its certificate is due. */
  async pem(): Promise<string> {
    return encodePem('CERTIFICATE REQUEST', await this.#request());
  }

  #request(): Promise<Uint8Array> {
    this.#csr ??= this.#build().catch((error: unknown) => {
      this.#csr = undefined;
      throw error;
    });
    return this.#csr;
  }

  #build(): Promise<Uint8Array> {
    const { keyId, spkiDer, signer } = this.#key;
    const algorithm = signatureAlgorithmFor(spkiDer);
    return buildRequest({ subject: [], spkiDer, algorithm }, async (info) => {
      const [signature] = await signer.sign(keyId, algorithm, [info]);
      return signature ?? new Uint8Array(0);
    });
  }
}

export function enrolmentHmac(secret: Secret, ca: string, csr: string): string {
  return createHmac('sha256', secret.reveal()).update(`${ca}\n${csr}`).digest('hex');
}
