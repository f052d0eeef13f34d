import { createHmac, timingSafeEqual } from 'node:crypto';
import { fromHex, PkiError, type Secret } from '@fleetroot/core';
import { request } from 'undici';

export interface SignerRequest {
  /** Name of the CA. */
  readonly ca: string;
  /** PKCS#10, base64 of the DER. */
  readonly csr: string;
}

const TIMEOUT_MS = 5000;
const MAX_OCTETS = 1_048_576;
const MAX_REQUESTS = 1000;

/**
 * The requests that the status app hands out, those with a right HMAC only: whatever else says that it is the status app
 * gets no certificate.
 * @throws PkiError `http.timeout` where it does not answer, `http.body-invalid` where the answer is something else
 */
export async function fetchSignerRequests(url: string, secret: Secret, onRefused: (ca: string) => void): Promise<readonly SignerRequest[]> {
  return readSignerRequests(await fetchBody(new URL('/ocsp-signer-requests', url)), secret, onRefused);
}

/** Pure part of `fetchSignerRequests`. */
export function readSignerRequests(body: string, secret: Secret, onRefused: (ca: string) => void): readonly SignerRequest[] {
  const accepted: SignerRequest[] = [];
  for (const entry of parse(body)) {
    if (isGenuine(entry, secret)) accepted.push({ ca: entry.ca, csr: entry.csr });
    else onRefused(entry.ca);
  }
  return accepted;
}

function isGenuine({ ca, csr, hmac }: SignerRequest & { readonly hmac: string }, secret: Secret): boolean {
  const wanted = createHmac('sha256', secret.reveal()).update(`${ca}\n${csr}`).digest();
  const given = fromHex(hmac);
  return given !== undefined && given.length === wanted.length && timingSafeEqual(given, wanted);
}

function parse(body: string): readonly (SignerRequest & { readonly hmac: string })[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch (cause) {
    throw unexpected(cause);
  }
  if (!Array.isArray(parsed) || parsed.length > MAX_REQUESTS) throw unexpected();
  return parsed.map((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) throw unexpected();
    const { ca, csr, hmac } = entry as Record<string, unknown>;
    if (typeof ca !== 'string' || typeof csr !== 'string' || typeof hmac !== 'string') throw unexpected();
    return { ca, csr, hmac };
  });
}

function unexpected(cause?: unknown): PkiError {
  return new PkiError('http.body-invalid', 'the status app answered with something that is no list of OCSP signer requests: check FLEETROOT_STATUS_INTERNAL_URL', { cause });
}

async function fetchBody(url: URL): Promise<string> {
  try {
    const response = await request(url, { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, signal: AbortSignal.timeout(2 * TIMEOUT_MS) });
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > MAX_OCTETS) {
        response.body.destroy();
        throw unexpected();
      }
      chunks.push(chunk);
    }
    if (response.statusCode !== 200) throw unexpected();
    return Buffer.concat(chunks).toString('utf8');
  } catch (cause) {
    if (cause instanceof PkiError) throw cause;
    throw new PkiError('http.timeout', `the status app does not answer at ${url.origin}: check that it runs, and FLEETROOT_STATUS_INTERNAL_URL`, { cause });
  }
}
