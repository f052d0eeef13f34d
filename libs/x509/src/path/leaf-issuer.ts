import type { KeyObject } from 'node:crypto';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import { algorithmFitsKey } from '../key/public-key.ts';
import { tryImport, verifyWithKey } from '../key/signature.ts';
import { candidatePaths, type Node, node } from './candidates.ts';
import type { PathFailure, PathPurpose } from './rules.ts';
import { PathWalk } from './walk.ts';

/** A CA as the anchor of many leaves right below it: its certificate is read once, and its key imported once. */
export class LeafIssuer {
  readonly #anchor: Node;
  /** null: no key that is accepted; undefined: not looked at yet. */
  #key: KeyObject | null | undefined;

  /** @throws PkiError `certificate.malformed` */
  constructor(certificate: ParsedCertificate) {
    this.#anchor = node(certificate, 0);
  }

  /**
   * What `validatePath` says of the leaf, without intermediates and with this CA as the one anchor: why it is refused, or
   * undefined. Every check of it is made.
   * @throws PkiError `certificate.malformed`
   */
  failure(leaf: ParsedCertificate, time: Date, purpose?: PathPurpose): PathFailure | undefined {
    const end = node(leaf);
    // Names and key identifiers: of two certificates there is one path, or none.
    if (candidatePaths(end, [], [this.#anchor]).next().done === true) return 'no-anchor';
    const walk = new PathWalk(2, { time, purpose, signed: (certificate) => this.#signed(certificate) });
    const failure = walk.addCa(this.#anchor, undefined);
    if (failure !== undefined) return failure;
    const found = walk.addLeaf(end, this.#anchor.certificate);
    return typeof found === 'string' ? found : undefined;
  }

  /** As `verifySignature`. */
  #signed({ signatureAlgorithm, tbsDer, signature }: ParsedCertificate): boolean {
    const { spkiDer } = this.#anchor.certificate;
    if (!algorithmFitsKey(signatureAlgorithm, spkiDer)) return false;
    this.#key ??= tryImport(spkiDer) ?? null;
    return this.#key !== null && verifyWithKey(this.#key, signatureAlgorithm, tbsDer, signature);
  }
}
