import { type CertificateStatus, type CertificationAuthority, isTrusted, lineRevocation, signsStatus } from '@fleetroot/authority';
import { equalBytes, isPkiError, toHex } from '@fleetroot/core';
import { type CertId, certIdsOf, type OcspRequest, parseOcspRequest, thisUpdateOf } from '@fleetroot/x509';
import { answerKey } from './answer-key.ts';
import { Budget } from './budget.ts';
import { Busy } from './busy.ts';
import { commonIssuer, hashesOfCa, latin1 } from './issuers.ts';
import { LookUps } from './look-ups.ts';
import { AnswerMemory } from './memory.ts';
import type { OcspDeps, OcspSigner, StoredAnswer } from './ports.ts';
import { errorReply, type OcspReply, type ReplySource, type SignedAnswer } from './reply.ts';
import { underRevokedCa } from './revoked-ca.ts';
import { certificateOf, Signing, type Statement } from './signing.ts';
import { Told, toldName } from './told.ts';

/** Who answers for a CA, and what the CA does to the status of all it has issued. */
interface Responding {
  readonly authority: CertificationAuthority;
  readonly signer: OcspSigner;
  readonly all: readonly CertificationAuthority[];
}

interface Stated {
  readonly statement: Statement;
  /** The serial is on record. */
  readonly recorded: boolean;
}

/** How well an answer must fit that is taken from where it was kept. */
interface Wish {
  /** Nobody waits for it. */
  readonly ahead: boolean;
  /** Until nextUpdate, at least. */
  readonly leftMs: number;
}

/** One serial may be told of while it is answered for; who is told of without end gets an answer that is kept nowhere. */
const TRIES = 3;
/** What is not on record may be at any moment: its answer is kept so long, and says it holds for a little longer. */
const UNKNOWN_KEPT_MS = 60_000;
const UNKNOWN_LIFETIME_MS = 300_000;
const UNKNOWN_KEPT = 1000;
/** An answer is given out with so much of its life left, at least, if it comes from the table. */
const LEAST_LEFT_MS = 10_000;
/** Clocks of two status processes may differ by as much. */
const AHEAD_OF_US_MS = 10_000;

/**
 * Answers OCSP requests: from memory, else with what the ledger says now, by an answer that was signed before or by a new
 * one. `good` only for a serial on record, `unknown` for any other of the CA; all are `revoked` where the CA, or one above
 * it, is (RFC 6960 section 2.7). A CA is told from others by its name and its key: generations of one name are CAs of their
 * own, and a key that is certified twice is one CA. A request that names a CA that is not ours, or several CAs at once, is
 * `unauthorized`: one signer answers for one CA. So is one for a CA that has no signer and will not get one here.
 *
 * What is in memory is true as long as the caller tells of each change (`told`): it is not looked at again before half its
 * life. Answers to a nonce are signed each time; what they say comes from memory or ledger as well.
 */
export class OcspResponder {
  readonly #deps: OcspDeps;
  readonly #told = new Told();
  readonly #memory: AnswerMemory;
  readonly #lookUps: LookUps;
  readonly #signing: Signing;
  readonly #unknownBudget: Budget;
  readonly #unknown = new Map<string, { readonly answer: SignedAnswer; readonly until: number }>();
  /** Answers in the making: who asks for one meanwhile waits with the first. */
  readonly #making = new Map<string, Promise<OcspReply>>();
  readonly #refreshing = new Set<string>();

  constructor(deps: OcspDeps) {
    this.#deps = deps;
    this.#memory = new AnswerMemory(deps.memoryOctets, this.#told);
    this.#lookUps = new LookUps(deps.ledger);
    this.#signing = new Signing(deps);
    this.#unknownBudget = new Budget(deps.unknownPerSecond);
  }

  /** Octets and number of what is remembered. */
  get remembered(): { readonly octets: number; readonly entries: number } {
    return { octets: this.#memory.octets, entries: this.#memory.size };
  }

  /**
   * The status of a serial, or of all of a CA, may have changed: nothing that was read before is given out any more unless
   * the ledger says it again.
   * @param serial content octets in hex
   */
  told(caId: number, serial?: string): void {
    this.#told.tell(caId, serial);
  }

  /** The answer to an OCSPRequest, DER; at once where it is in memory. Never throws: what goes wrong is an error of RFC 6960 section 2.3. */
  answer(requestDer: Uint8Array): OcspReply | Promise<OcspReply> {
    let request: OcspRequest;
    try {
      request = parseOcspRequest(requestDer);
    } catch {
      return errorReply('malformedRequest');
    }
    const [first] = request.requests;
    if (first !== undefined && request.requests.length === 1 && request.nonce === undefined) {
      const name = latin1(first.der);
      const now = this.#deps.clock.now().getTime();
      const known = this.#memory.get(name);
      if (known?.answer !== undefined && holds(known.answer, now)) {
        if (now >= (known.answer.thisUpdate + known.answer.nextUpdate) / 2) this.#refresh(name, first);
        return { der: known.answer.der, source: 'memory', shared: known.answer, name };
      }
      return this.#safely(this.#shared(name, first, request));
    }
    return this.#safely(this.#forOne(request));
  }

  /** What `answer` gives to the request that it gave this name to, where it is in memory and not due for another soon. */
  recall(name: string): OcspReply | undefined {
    const answer = this.#memory.get(name)?.answer;
    const now = this.#deps.clock.now().getTime();
    if (answer === undefined || !holds(answer, now) || now >= (answer.thisUpdate + answer.nextUpdate) / 2) return undefined;
    return { der: answer.der, source: 'memory', shared: answer, name };
  }

  /**
   * Makes the answers to come for these serials of a CA, by each hash that clients ask with, where there are none with half
   * their life left. They are kept in the table; in memory where they were before, or `remember` says so.
   */
  async prepare(caId: number, serials: readonly Uint8Array[], remember: boolean): Promise<void> {
    const all = await this.#deps.ledger.authorities();
    const authority = all.find(({ id }) => id === caId);
    const signer = authority === undefined ? undefined : await this.#deps.signerFor(caId);
    if (authority === undefined || signer === undefined) return;
    const asked = serials.flatMap((serial) => certIdsOf(hashesOfCa(authority), serial).map((der) => ({ der, serial })));
    await Promise.all(asked.map(async (certId) => {
      const name = latin1(certId.der);
      const remembered = remember || this.#memory.held(name) !== undefined;
      await this.#settle(name, certId, { authority, signer, all }, { ahead: true, leftMs: this.#deps.lifetimeMs / 2 }, remembered);
    }));
  }

  async #safely(making: Promise<OcspReply>): Promise<OcspReply> {
    try {
      return await making;
    } catch (error) {
      if (error instanceof Busy) return errorReply('tryLater');
      this.#deps.onError?.(error);
      return errorReply(isPkiError(error) && error.retry === 'later' && error.code !== 'internal' ? 'tryLater' : 'internalError');
    }
  }

  #shared(name: string, certId: CertId, request: OcspRequest): Promise<OcspReply> {
    const known = this.#making.get(name);
    if (known !== undefined) return known;
    const making = (async () => {
      const responding = await this.#respondingFor(request);
      return 'source' in responding ? responding : this.#settle(name, certId, responding, { ahead: false, leftMs: LEAST_LEFT_MS }, true);
    })().finally(() => this.#making.delete(name));
    this.#making.set(name, making);
    return making;
  }

  #refresh(name: string, certId: CertId): void {
    if (this.#refreshing.has(name)) return;
    this.#refreshing.add(name);
    void (async () => {
      const responding = await this.#respondingFor({ requests: [certId], nonce: undefined });
      if (!('source' in responding)) await this.#settle(name, certId, responding, { ahead: true, leftMs: this.#deps.lifetimeMs / 2 }, true);
    })().catch((error: unknown) => {
      // What is in memory goes on being the answer; the next who asks for it tries again.
      if (!(error instanceof Busy)) this.#deps.onError?.(error);
    }).finally(() => this.#refreshing.delete(name));
  }

  async #respondingFor(request: OcspRequest): Promise<Responding | OcspReply> {
    const all = await this.#deps.ledger.authorities();
    const authority = commonIssuer(request, all);
    if (authority === undefined) return errorReply('unauthorized');
    const signer = await this.#deps.signerFor(authority.id);
    const now = this.#deps.clock.now();
    const certificate = signer === undefined ? undefined : certificateOf(signer);
    if (signer === undefined || certificate === undefined || certificate.notAfter <= now || certificate.notBefore > now) {
      return errorReply(signsStatus(authority) && isTrusted(authority, all) ? 'tryLater' : 'unauthorized');
    }
    return { authority, signer, all };
  }

  /** The answer for everybody who asks for this CertID. */
  async #settle(name: string, certId: Pick<CertId, 'der' | 'serial'>, of: Responding, wish: Wish, remember: boolean): Promise<OcspReply> {
    const subject = toldName(of.authority.id, toHex(certId.serial));
    for (let tries = 1; ; tries++) {
      const moment = this.#told.now;
      const readAt = this.#deps.clock.now().getTime();
      const recorded = await this.#lookUps.get({ caId: of.authority.id, serial: certId.serial });
      const status = statusUnder(of, recorded.status);
      const key = answerKey(certId.der, of.signer.certificate, status);
      if (recorded.status.status === 'unknown') return this.#unknownAnswer(name, certId.der, of, status, key, readAt);
      const [answer, source] = await this.#find(name, key, recorded.stored, wish) ?? [await this.#make(certId, of, status, key, readAt, wish), 'signed' as const];
      const changed = this.#told.since(moment, of.authority.id, subject);
      if (changed && tries < TRIES) continue;
      if (!changed && remember) this.#memory.put(name, { caId: of.authority.id, name: subject, status, readAt, moment, answer });
      return { der: answer.der, source, ...(changed ? {} : { shared: answer }) };
    }
  }

  /** An answer to the same, with the same in it, that was signed before. */
  async #find(name: string, key: Uint8Array, stored: readonly StoredAnswer[], { leftMs }: Wish): Promise<[SignedAnswer, ReplySource] | undefined> {
    const now = this.#deps.clock.now().getTime();
    const held = this.#memory.held(name)?.answer;
    if (held !== undefined && equalBytes(held.key, key) && holds(held, now) && held.nextUpdate - now > leftMs) return [held, 'memory'];
    const kept = stored.find((one) => equalBytes(one.key, key));
    if (kept === undefined || kept.nextUpdate.getTime() - now <= leftMs) return undefined;
    const answer = { der: kept.response, key, thisUpdate: thisUpdateOf(kept.response).getTime(), nextUpdate: kept.nextUpdate.getTime() };
    return holds(answer, now) ? [answer, 'table'] : undefined;
  }

  async #make(
    { der, serial }: Pick<CertId, 'der' | 'serial'>, { authority, signer }: Responding, status: CertificateStatus, key: Uint8Array, knownAt: number, { ahead }: Wish,
  ): Promise<SignedAnswer> {
    const signed = await this.#signing.sign(signer, [{ certId: der, status, knownAt, lifetimeMs: this.#deps.lifetimeMs }], undefined, ahead);
    const answer = { ...signed, key };
    void this.#deps.ledger.store([{ caId: authority.id, serial, key, nextUpdate: new Date(answer.nextUpdate), response: answer.der }]).catch(() => undefined);
    return answer;
  }

  /** Of a serial that is not on record. The ledger was asked; only a signature for what it said is kept, and shortly. */
  async #unknownAnswer(name: string, certId: Uint8Array, { signer }: Responding, status: CertificateStatus, key: Uint8Array, knownAt: number): Promise<OcspReply> {
    const now = this.#deps.clock.now().getTime();
    const kept = this.#unknown.get(name);
    if (kept !== undefined && equalBytes(kept.answer.key, key) && kept.until > now && holds(kept.answer, now)) return { der: kept.answer.der, source: 'memory' };
    if (!this.#unknownBudget.take()) throw new Busy();
    const lifetimeMs = Math.min(UNKNOWN_LIFETIME_MS, this.#deps.lifetimeMs);
    const signed = await this.#signing.sign(signer, [{ certId, status, knownAt, lifetimeMs }], undefined);
    this.#unknown.delete(name);
    this.#unknown.set(name, { answer: { ...signed, key }, until: Math.min(now + UNKNOWN_KEPT_MS, signed.nextUpdate) });
    for (const [oldest] of this.#unknown) {
      if (this.#unknown.size <= UNKNOWN_KEPT) break;
      this.#unknown.delete(oldest);
    }
    return { der: signed.der, source: 'signed' };
  }

  /** For this client alone: a nonce, or several CertIDs at once. */
  async #forOne(request: OcspRequest): Promise<OcspReply> {
    const of = await this.#respondingFor(request);
    if ('source' in of) return of;
    const known = request.requests.map((certId) => this.#remembered(certId));
    const found = known.every((one) => one !== undefined)
      ? known : await Promise.all(request.requests.map(async (certId, i) => known[i] ?? this.#statusOf(certId, of)));
    if (found.some(({ recorded }) => !recorded) && !this.#unknownBudget.take()) throw new Busy();
    const { der } = await this.#signing.sign(of.signer, found.map(({ statement }) => statement), request.nonce);
    return { der, source: 'signed' };
  }

  /** What memory says, as long as an answer that says it may hold. */
  #remembered(certId: CertId): Stated | undefined {
    const { lifetimeMs } = this.#deps;
    const known = this.#memory.get(latin1(certId.der));
    if (known === undefined) return undefined;
    const now = this.#deps.clock.now().getTime();
    const knownAt = Math.max(known.readAt, Math.min(now, this.#deps.knownUntil?.() ?? 0));
    if (knownAt + lifetimeMs <= now + LEAST_LEFT_MS) return undefined;
    return { statement: { certId: certId.der, status: known.status, knownAt, lifetimeMs }, recorded: true };
  }

  async #statusOf(certId: CertId, of: Responding): Promise<Stated> {
    const { lifetimeMs } = this.#deps;
    const name = latin1(certId.der);
    const now = this.#deps.clock.now().getTime();
    const moment = this.#told.now;
    const { status: own } = await this.#lookUps.get({ caId: of.authority.id, serial: certId.serial });
    const status = statusUnder(of, own);
    if (own.status === 'unknown') return { statement: { certId: certId.der, status, knownAt: now, lifetimeMs: Math.min(UNKNOWN_LIFETIME_MS, lifetimeMs) }, recorded: false };
    const subject = toldName(of.authority.id, toHex(certId.serial));
    const held = this.#memory.held(name)?.answer;
    const same = held !== undefined && equalBytes(held.key, answerKey(certId.der, of.signer.certificate, status));
    this.#memory.put(name, { ...(same ? { answer: held } : {}), caId: of.authority.id, name: subject, status, readAt: now, moment });
    return { statement: { certId: certId.der, status, knownAt: now, lifetimeMs }, recorded: true };
  }
}

const statusUnder = ({ authority, all }: Responding, own: CertificateStatus): CertificateStatus => {
  const ofCa = lineRevocation(authority, all);
  return ofCa === undefined ? own : underRevokedCa(own, ofCa);
};

const holds = ({ thisUpdate, nextUpdate }: SignedAnswer, now: number): boolean => now < nextUpdate && thisUpdate <= now + AHEAD_OF_US_MS;
