import { ocspErrorResponse, type OcspErrorStatus } from '@fleetroot/x509';

/** What an answer was made from. `error`: it is unsigned, and says what went wrong (RFC 6960 section 2.3). */
export type ReplySource = 'memory' | 'table' | 'signed' | 'error';

export interface OcspReply {
  /** OCSPResponse, DER. */
  readonly der: Uint8Array;
  readonly source: ReplySource;
  /** Present where it holds for everybody who asks the same before `nextUpdate`. */
  readonly shared?: SignedAnswer;
  /** Of the request, for `OcspResponder.recall`; present where the answer came from memory. */
  readonly name?: string;
}

/** An answer without a nonce. The same object for as long as it is given. */
export interface SignedAnswer {
  readonly der: Uint8Array;
  /** Of all that it depends on, the status in it among them. */
  readonly key: Uint8Array;
  /** Unix milliseconds, as `nextUpdate`. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

export const errorReply = (status: OcspErrorStatus): OcspReply => ({ der: ocspErrorResponse(status), source: 'error' });
