import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, equalBytes, isPkiError } from '@fleetroot/core';
import { buildRequest, decodePem, encodePem, parseCertificate, readRequest } from '@fleetroot/x509';
import type { Authorities } from '../authorities.ts';
import { checkedItem } from '../batches/item.ts';
import type { IssuanceOnRequest } from '../certificates/issuance-on-request.ts';
import type { ProfileCatalogue } from '../profile-catalogue.ts';
import type { SystemPrincipal } from '../system-principal.ts';

/** PEM: what Node's `tls` takes. */
export interface TlsIdentity {
  readonly key: string;
  /** Its certificate, then the CAs up to, and without, the root. */
  readonly cert: string;
}

export interface TlsIdentityParts {
  readonly folder: string;
  /** DNS name that ECUs connect to. */
  readonly host: string;
  readonly issuance: Pick<IssuanceOnRequest, 'issue'>;
  readonly authorities: Pick<Authorities, 'issuing' | 'chainAbove'>;
  readonly profiles: ProfileCatalogue;
  readonly principal: SystemPrincipal;
  readonly clock: Clock;
}

const PROFILE = 'gateway-server';
/** One file, so that a key and a certificate that belong together replace one another at once. */
const FILE = 'device-tls.pem';

/** The device listener's own key and certificate, which our own CA issues. */
export class TlsIdentityKeeper {
  readonly #parts: TlsIdentityParts;

  constructor(parts: TlsIdentityParts) {
    this.#parts = parts;
  }

  /**
   * What is in the folder where that serves: for the host, issued by today's issuing CA, with a third of its life left.
   * Else a new key and certificate, in the folder (mode 0600) on return.
   * @throws PkiError of `IssuanceOnRequest.issue`
   */
  async current(): Promise<TlsIdentity> {
    const issuer = await this.#parts.authorities.issuing();
    const kept = this.#read();
    if (kept !== undefined && this.#serves(kept, issuer.certificate)) return kept;
    const fresh = await this.#request();
    this.#write(fresh);
    return fresh;
  }

  async #request(): Promise<TlsIdentity> {
    const { host, issuance, authorities, profiles, principal } = this.#parts;
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = await requestFor(host, publicKey, privateKey);
    const profile = profiles.forRequester(PROFILE, ['system']);
    const item = checkedItem({ csr: Buffer.from(csr).toString('base64') }, 0, profile.profile);
    const { certificate } = await issuance.issue({
      principalId: principal.id, actor: `system:${principal.name}`, profile, caId: (await authorities.issuing()).id,
      purpose: 'administration', item, request: readRequest(item.csr),
      idempotencyKey: undefined, bodySha256: createHash('sha256').update(csr).digest(),
    });
    const chain = await authorities.chainAbove(certificate);
    return {
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      cert: [encodePem('CERTIFICATE', certificate), ...chain.slice(0, -1)].join(''),
    };
  }

  #serves({ key, cert }: TlsIdentity, issuer: Uint8Array): boolean {
    const [leaf] = decodePem(cert, 'certificate.malformed');
    if (leaf === undefined) return false;
    const { notBefore, notAfter, issuerDer, authorityKeyIdentifier, subjectAltNames } = parseCertificate(leaf.der);
    const ca = parseCertificate(issuer);
    const life = notAfter.getTime() - notBefore.getTime();
    return notAfter.getTime() - this.#parts.clock.now().getTime() > life / 3
      && equalBytes(issuerDer, ca.subjectDer)
      && equalBytes(authorityKeyIdentifier ?? new Uint8Array(), ca.subjectKeyIdentifier ?? new Uint8Array())
      && subjectAltNames.some((name) => name.kind === 'dns' && name.value === this.#parts.host.toLowerCase())
      && new X509Certificate(leaf.der).checkPrivateKey(createPrivateKey(key));
  }

  #read(): TlsIdentity | undefined {
    try {
      const text = readFileSync(join(this.#parts.folder, FILE), 'utf8');
      const blocks = decodePem(text, 'certificate.malformed');
      const key = blocks.find(({ label }) => label === 'PRIVATE KEY');
      const certificates = blocks.filter(({ label }) => label === 'CERTIFICATE');
      if (key === undefined || certificates.length === 0) return undefined;
      return { key: encodePem(key.label, key.der), cert: certificates.map(({ label, der }) => encodePem(label, der)).join('') };
    } catch (error) {
      // Not there yet, or cut off by a full disk: a new one is made.
      if (isPkiError(error) || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #write({ key, cert }: TlsIdentity): void {
    const { folder } = this.#parts;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const next = join(folder, `.${FILE}.${process.pid}`);
    writeFileSync(next, `${key}${cert}`, { mode: 0o600, flush: true });
    renameSync(next, join(folder, FILE));
  }
}

function requestFor(host: string, publicKey: KeyObject, privateKey: KeyObject): Promise<Uint8Array> {
  return buildRequest(
    {
      subject: [], spkiDer: publicKey.export({ format: 'der', type: 'spki' }), subjectAltNames: [{ kind: 'dns', value: host }],
      algorithm: 'ecdsa-sha256',
    },
    (info) => sign('sha256', info, { key: privateKey, dsaEncoding: 'der' }),
  );
}
