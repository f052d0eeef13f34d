import type { Clock } from '@fleetroot/core';
import { answerOcsp, type OcspDeps } from '@fleetroot/ocsp';
import { parseOcspRequest } from '@fleetroot/x509';
import { cacheHeaders, freshUntil } from './caching.ts';

export interface OcspAnswer {
  /** OCSPResponse, DER. */
  readonly der: Uint8Array;
  /** For an answer to a GET. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface ResponderParts extends OcspDeps {
  readonly clock: Clock;
  readonly onAnswer?: (method: 'GET' | 'POST', outcome: 'answer' | 'error') => void;
}

/** An OCSPResponse without responseBytes, an error of RFC 6960 section 2.3, has exactly so many octets. */
const ERROR_OCTETS = 5;

/** Answers OCSP requests, signed as they come. */
export class Responder {
  readonly #parts: ResponderParts;

  constructor(parts: ResponderParts) {
    this.#parts = parts;
  }

  async answer(requestDer: Uint8Array, method: 'GET' | 'POST'): Promise<OcspAnswer> {
    const now = new Date(Math.floor(this.#parts.clock.now().getTime() / 1000) * 1000);
    const der = await answerOcsp(requestDer, this.#parts);
    const failed = der.length === ERROR_OCTETS;
    this.#parts.onAnswer?.(method, failed ? 'error' : 'answer');
    const cacheable = method === 'GET' && !failed && !hasNonce(requestDer);
    return {
      der,
      headers: cacheable
        ? cacheHeaders(freshUntil(der, now, new Date(now.getTime() + this.#parts.lifetimeMs), now), now)
        : { 'cache-control': 'no-store' },
    };
  }
}

/** An answer with a nonce serves one client once. */
function hasNonce(requestDer: Uint8Array): boolean {
  try {
    return parseOcspRequest(requestDer).nonce !== undefined;
  } catch {
    return true;
  }
}
