import { PkiError } from '@fleetroot/core';
import {
  assembleOcspResponse, buildOcspResponseData, type CertStatus, keyIdentifier, parseCertificate, type ParsedCertificate, type SignatureAlgorithm,
  signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { OcspDeps, OcspSigner } from './ports.ts';
import { Signatures } from './signatures.ts';

export interface Statement {
  /** DER, as the request has it. */
  readonly certId: Uint8Array;
  readonly status: CertStatus;
  /** When it was known to be so, in Unix milliseconds. */
  readonly knownAt: number;
  /** From then to nextUpdate, in milliseconds. */
  readonly lifetimeMs: number;
}

export interface SignedStatements {
  readonly der: Uint8Array;
  /** The earliest of each, in Unix milliseconds. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** A clock is put back by as much now and then; what was signed before it stays the time until it is caught up with. */
const STEP_BACK_MS = 5000;

interface SignerFacts {
  readonly certificate: ParsedCertificate;
  readonly keyHash: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
}

/** What is read from a certificate never changes; it is forgotten with the object that it was read from. */
const known = new WeakMap<Uint8Array, SignerFacts>();

/** Makes signed answers, and keeps to a clock that never goes back. */
export class Signing {
  readonly #deps: Pick<OcspDeps, 'clock' | 'checkClock'>;
  readonly #queues = new WeakMap<OcspSigner, Signatures>();
  /** Of the answer that was produced last, in Unix milliseconds. */
  #last = 0;

  constructor(deps: Pick<OcspDeps, 'clock' | 'checkClock'>) {
    this.#deps = deps;
  }

  /**
   * @param ahead nobody waits for it
   * @throws Busy; PkiError `clock.skew` for a clock that is behind the last answer or past the signer's certificate; whatever
   *   the signer throws
   */
  async sign(signer: OcspSigner, statements: readonly Statement[], nonce: Uint8Array | undefined, ahead = false): Promise<SignedStatements> {
    const { certificate, keyHash, algorithm } = factsOf(signer);
    const producedAt = this.#producedAt(certificate);
    const responses = statements.map(({ certId, status, knownAt, lifetimeMs }) => {
      const thisUpdate = wholeSecond(Math.min(knownAt, producedAt));
      return { certId, certStatus: status, thisUpdate, nextUpdate: Math.min(thisUpdate + lifetimeMs, certificate.notAfter.getTime()) };
    });
    const responseData = buildOcspResponseData({
      responderKeyHash: keyHash, producedAt: new Date(producedAt), nonce,
      responses: responses.map((one) => ({ ...one, thisUpdate: new Date(one.thisUpdate), nextUpdate: new Date(one.nextUpdate) })),
    });
    let queue = this.#queues.get(signer);
    if (queue === undefined) this.#queues.set(signer, (queue = new Signatures(signer)));
    const signature = await queue.sign(responseData, ahead);
    return {
      der: assembleOcspResponse(responseData, algorithm, signature, [signer.certificate]),
      thisUpdate: Math.min(...responses.map((one) => one.thisUpdate)), nextUpdate: Math.min(...responses.map((one) => one.nextUpdate)),
    };
  }

  #producedAt({ notBefore, notAfter }: ParsedCertificate): number {
    this.#deps.checkClock?.();
    const now = wholeSecond(this.#deps.clock.now().getTime());
    if (now < this.#last - STEP_BACK_MS) throw new PkiError('clock.skew', `the clock is ${Math.round((this.#last - now) / 1000)} s behind the OCSP answer that was signed last: set it right`);
    if (now < notBefore.getTime() || now >= notAfter.getTime()) throw new PkiError('clock.skew', 'the certificate of the OCSP signer is not valid now');
    this.#last = Math.max(this.#last, now);
    return this.#last;
  }
}

export const certificateOf = (signer: OcspSigner): ParsedCertificate => factsOf(signer).certificate;

function factsOf({ certificate: der }: OcspSigner): SignerFacts {
  let facts = known.get(der);
  if (facts === undefined) {
    const certificate = parseCertificate(der);
    facts = { certificate, keyHash: keyIdentifier(certificate.spkiDer), algorithm: signatureAlgorithmFor(certificate.spkiDer) };
    known.set(der, facts);
  }
  return facts;
}

const wholeSecond = (ms: number): number => Math.floor(ms / 1000) * 1000;
