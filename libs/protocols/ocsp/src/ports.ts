import type { CertificateStatus, CertificationAuthority } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';

/** A delegated signer (RFC 6960 section 4.2.2.2), or the CA itself. */
export interface OcspSigner {
  /** DER. Give the same array each time: what is read from it is remembered by it. */
  readonly certificate: Uint8Array;
  /** Signs each by the default algorithm of the certificate's key, in order; the signatures in X.509 form (ECDSA as DER). */
  sign(responseData: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
}

export interface AskedSerial {
  readonly caId: number;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array;
}

/** An answer that was signed before, here or in another process. */
export interface StoredAnswer {
  /** Of all that the answer depends on, the status in it among them: 32 octets. */
  readonly key: Uint8Array;
  readonly nextUpdate: Date;
  /** OCSPResponse, DER. */
  readonly response: Uint8Array;
}

export interface RecordedSerial {
  readonly status: CertificateStatus;
  /** What is kept of this serial and has not ended. */
  readonly stored: readonly StoredAnswer[];
}

export interface OcspLedger {
  /** The last known list while the ledger is away; the same array for as long as nothing in it has changed. */
  authorities(): readonly CertificationAuthority[] | Promise<readonly CertificationAuthority[]>;
  /** In the order asked. `good` only for a serial on record (I16); a burned serial is revoked (I8). */
  lookUp(asked: readonly AskedSerial[]): Promise<readonly RecordedSerial[]>;
  /** Keeps answers for other processes and other days. What fails is lost, and signed again when it is asked for. */
  store(answers: readonly (StoredAnswer & AskedSerial)[]): Promise<void>;
}

export interface OcspDeps {
  readonly ledger: OcspLedger;
  /**
   * undefined: none. Where the CA signs status here there will be one soon, and the client shall try later; so it shall
   * after an error that may pass.
   */
  signerFor(caId: number): OcspSigner | undefined | Promise<OcspSigner | undefined>;
  readonly clock: Clock;
  /** From thisUpdate to nextUpdate, in milliseconds; cut short where the signer's certificate ends before. */
  readonly lifetimeMs: number;
  /** Octets that answers may take in memory. */
  readonly memoryOctets: number;
  /** Answers a second that may be signed for serials that are not on record. */
  readonly unknownPerSecond: number;
  /**
   * Until when all that was revoked is told of to this responder (`told`), in Unix milliseconds: what it remembers was
   * right then. undefined: not known.
   */
  knownUntil?(): number | undefined;
  /** Before each signature. @throws PkiError `clock.skew` where the clock is not to be believed */
  checkClock?(): void;
  /** Hears of what became `tryLater` or `internalError`, for the log; never of what a client did wrong. */
  onError?(error: unknown): void;
}
