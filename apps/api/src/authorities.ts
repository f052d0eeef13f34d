import { ancestry, type AuthorityLedger, type CertificationAuthority, generations, issuingGeneration, isTrusted, lineRevocation, RecentAuthorities } from '@fleetroot/authority';
import { caName, type CaName, equalBytes, PkiError } from '@fleetroot/core';
import type { ClientAuthority } from '@fleetroot/trust';
import { encodePem, type ParsedCertificate, parseCertificate } from '@fleetroot/x509';

type Ca = CertificationAuthority;

/** The CAs on record, as the api needs them. */
export class Authorities {
  readonly #ledger: AuthorityLedger;
  readonly #issuing: CaName;
  readonly #recent: RecentAuthorities;

  /** @param issuing name of the CA that issues where nobody says which: its first generation, or any after it */
  constructor(ledger: AuthorityLedger, issuing: string) {
    this.#ledger = ledger;
    this.#recent = new RecentAuthorities(ledger);
    this.#issuing = caName(issuing);
  }

  all(): Promise<readonly Ca[]> {
    return this.#ledger.all();
  }

  /** @throws PkiError `ca.not-found` */
  byName(name: string): Promise<Ca> {
    return this.#ledger.byName(caName(name));
  }

  /**
   * The generation of the installation's issuing CA that issues now.
   * @throws PkiError `ca.not-found`; `ca.not-active` where none does
   */
  async issuing(): Promise<Ca> {
    return issuingNow(await this.byName(this.#issuing), await this.all());
  }

  /** The generation of the CA that issues now. @throws PkiError `ca.not-found`, `ca.not-active` */
  async issuingFor(name: string): Promise<Ca> {
    return issuingNow(await this.byName(name), await this.all());
  }

  /**
   * The generation that issues now of the CA that a caller asked for, or of the one that it is given where it did not ask.
   * @param allowed names of CAs, in any generation; none: the installation's issuing CA alone
   * @throws PkiError `ca.forbidden`, also where there is no such CA: who may not use it does not learn whether there is;
   *   `ca.not-active`
   */
  async chosen(asked: string | undefined, allowed: readonly string[]): Promise<Ca> {
    // Who issues is resolved once more by the issuer; nobody is refused by what is half a second old.
    const all = await this.#recent.read('recently').all;
    try {
      return this.#chosenOf(all, asked, allowed);
    } catch {
      return this.#chosenOf(await this.all(), asked, allowed);
    }
  }

  #chosenOf(all: readonly Ca[], asked: string | undefined, allowed: readonly string[]): Ca {
    const names = allowed.length === 0 ? [this.#issuing] : allowed;
    const granted = (ca: Ca): boolean => names.some((name) => isSameLine(ca, all.find((one) => one.name === name), all));
    const wanted = asked ?? (names.length === 1 ? names[0] : this.#issuing);
    const ca = all.find(({ name }) => name === wanted);
    if (ca === undefined && allowed.length === 0 && asked === undefined) throw new PkiError('ca.not-found', `no CA is called ${this.#issuing}`);
    if (ca !== undefined && granted(ca)) return issuingNow(ca, all);
    throw new PkiError('ca.forbidden', allowed.length === 0
      ? 'certificates of the installation\'s issuing CA alone are for you: leave ca out'
      : `say which CA: ${[...allowed].sort().join(', ')} are for you`);
  }

  /** Whether two CAs, by their ids, are one or generations of one. */
  async isSameLine(a: number, b: number): Promise<boolean> {
    const all = await this.all();
    const first = all.find(({ id }) => id === a);
    return first !== undefined && isSameLine(first, all.find(({ id }) => id === b), all);
  }

  /** The name of a CA on record that is revoked or retired, or below such a one, and whose key a path (leaf first) leads through. */
  async distrustedIn([, ...above]: readonly ParsedCertificate[]): Promise<string | undefined> {
    const all = await this.all();
    return all.filter((ca) => !isTrusted(ca, all)).find((ca) => {
      const { spkiDer } = parseCertificate(ca.certificate);
      return above.some((certificate) => equalBytes(certificate.spkiDer, spkiDer));
    })?.name;
  }

  /** Each CA with what certificates that it has issued are judged by. */
  async judged(): Promise<readonly ClientAuthority[]> {
    const all = await this.#recent.read('now').all;
    return all.map((ca) => ({
      id: ca.id, name: ca.name, certificate: ca.certificate, trusted: isTrusted(ca, all), revoked: lineRevocation(ca, all) !== undefined,
    }));
  }

  /** The certificates from a CA up to its root, PEM. */
  async chain(of: Ca): Promise<string[]> {
    return pemChain(of, await this.all());
  }

  /** The certificates from the CA that signed a certificate of ours up to its root, PEM. @throws PkiError `internal` */
  async chainAbove(certificate: Uint8Array): Promise<string[]> {
    const parsed = parseCertificate(certificate);
    const recent = await this.#recent.read('recently').all;
    const known = signerOf(parsed, recent);
    if (known !== undefined) return pemChain(known, recent);
    const all = await this.all();
    const signer = signerOf(parsed, all);
    if (signer === undefined) throw new PkiError('internal', 'a certificate of ours is signed by no CA on record');
    return pemChain(signer, all);
  }
}

const pemChain = (of: Ca, all: readonly Ca[]): string[] => ancestry(of, all).map(({ certificate }) => encodePem('CERTIFICATE', certificate));

function signerOf({ issuerDer, authorityKeyIdentifier }: ParsedCertificate, all: readonly Ca[]): Ca | undefined {
  return all.find((ca) => {
    const { subjectDer, subjectKeyIdentifier } = parseCertificate(ca.certificate);
    return equalBytes(subjectDer, issuerDer)
      && (authorityKeyIdentifier === undefined || subjectKeyIdentifier === undefined || equalBytes(authorityKeyIdentifier, subjectKeyIdentifier));
  });
}

/** The generation of the CA that issues now, and may: nothing above it is revoked or retired. */
export function issuingOf(ca: Ca, all: readonly Ca[]): Ca | undefined {
  const issuer = issuingGeneration(ca, all);
  return issuer !== undefined && isTrusted(issuer, all) ? issuer : undefined;
}

function issuingNow(ca: Ca, all: readonly Ca[]): Ca {
  const issuer = issuingOf(ca, all);
  if (issuer !== undefined) return issuer;
  const line = generations(ca, all).map(({ name, state, keyId }) => `${name} is ${state}${keyId === undefined ? ' and its key is not online' : ''}`);
  throw new PkiError('ca.not-active', `no generation of the CA ${ca.name} issues: ${line.join(', ')}, or a CA above is revoked`);
}

const isSameLine = (a: Ca, b: Ca | undefined, all: readonly Ca[]): boolean =>
  b !== undefined && (generations(a, all).includes(b) || generations(b, all).includes(a));
