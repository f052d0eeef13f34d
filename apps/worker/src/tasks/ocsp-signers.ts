import { createHash } from 'node:crypto';
import {
  type AuthorityLedger, type BatchLedger, type BatchProgress, type CertificationAuthority, checkRequestAgainstProfile, isTrusted, type Profile,
  profileDocument, type ProfileLedger, signsStatus,
} from '@fleetroot/authority';
import { type Clock, fromBase64, PkiError, toHex } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { parseRequest, spkiSha256, verifyPossession } from '@fleetroot/x509';
import type { Task } from '../task.ts';
import type { SignerRequest } from './signer-requests.ts';

export interface OcspSignerParts {
  readonly fetch: () => Promise<readonly SignerRequest[]>;
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly profiles: Pick<ProfileLedger, 'ensure'>;
  readonly batches: Pick<BatchLedger, 'submitOne'>;
  readonly principals: { all(): Promise<readonly { readonly id: number; readonly name: string }[]> };
  /** The profile `ocsp-signer`. */
  readonly profile: Profile;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
}

const PRINCIPAL = 'worker';
const PRIORITY = 1;
/** A refused request is made again after a while: the CA may be active by then. In milliseconds. */
const AFTER_FAILURE_MS = 60_000;
/** The status app finds its certificate within seconds. Asking on for longer means that it needs another one. */
const AFTER_ISSUE_MS = 600_000;
const MAX_ATTEMPTS_A_DAY = 200;

/**
 * Takes the status app's requests for OCSP signer certificates to the issuer. The status app asks as long as it lacks
 * one; a request that is on its way is not made twice: the batch's Idempotency-Key is of CA, key, day and attempt.
 */
export function ocspSignersTask(parts: OcspSignerParts): Task {
  return {
    name: 'ocsp-signers', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      const requests = await parts.fetch();
      if (requests.length === 0) return;
      const authorities = await parts.authorities.all();
      const principalId = await workerPrincipal(parts);
      const { id: profileVersionId } = await parts.profiles.ensure(parts.profile.name, profileDocument(parts.profile));
      for (const request of requests) {
        if (signal.aborted) return;
        const authority = authorities.find(({ name }) => name === request.ca);
        try {
          if (authority === undefined) throw new PkiError('ca.not-found', `the status app asks for a certificate of ${request.ca}, which is no CA here`);
          // A CA whose key is elsewhere signs it in a ceremony, or not at all; one that was revoked since, never.
          if (!signsStatus(authority) || !isTrusted(authority, authorities)) continue;
          await submit(parts, request, authority, principalId, profileVersionId);
        } catch (error) {
          parts.logger.error({ err: error, ca: request.ca }, 'an OCSP signer request was not submitted');
        }
      }
    },
  };
}

async function submit(
  parts: OcspSignerParts, { csr }: SignerRequest, authority: CertificationAuthority, principalId: number, profileVersionId: number,
): Promise<void> {
  const der = fromBase64(csr);
  if (der === undefined) throw new PkiError('request.malformed', 'the request is not base64');
  const request = parseRequest(der);
  const item = { ordinal: 0, csr: der };
  checkRequestAgainstProfile(parts.profile, {}, request);
  verifyPossession(request);
  const now = parts.clock.now();
  const bodySha256 = new Uint8Array(createHash('sha256').update(der).digest());
  for (let attempt = 0; attempt < MAX_ATTEMPTS_A_DAY; attempt++) {
    const submitted = await parts.batches.submitOne(
      {
        principalId, idempotencyKey: idempotencyKey(authority.name, spkiSha256(request.spkiDer), now, attempt),
        caId: authority.id, profileVersionId, priority: PRIORITY, purpose: 'ocsp',
      },
      item, bodySha256,
      (batchId) => ({
        action: 'batch.accepted', actor: 'system:worker', at: now, subject: `batch:${batchId}`,
        data: { profile: parts.profile.name, ca: authority.name, items: 1 },
      }),
    );
    if (submitted.kind === 'new') {
      parts.logger.info({ ca: authority.name, batch: submitted.batchId }, 'an OCSP signer certificate was asked for');
      return;
    }
    if (!isAskedAgain(submitted.batch, now)) return;
  }
}

/** True where the batch is over for so long that the status app would have stopped asking had it brought what it needs. */
export function isAskedAgain(batch: Pick<BatchProgress, 'state' | 'failed' | 'completedAt'>, now: Date): boolean {
  if (batch.state !== 'done' || batch.completedAt === undefined) return false;
  return now.getTime() - batch.completedAt.getTime() >= (batch.failed > 0 ? AFTER_FAILURE_MS : AFTER_ISSUE_MS);
}

export function idempotencyKey(ca: string, keySha256: Uint8Array, now: Date, attempt: number): string {
  return `ocsp-signer:${ca}:${toHex(keySha256).slice(0, 32)}:${now.toISOString().slice(0, 10)}:${attempt}`;
}

async function workerPrincipal(parts: OcspSignerParts): Promise<number> {
  const principal = (await parts.principals.all()).find(({ name }) => name === PRINCIPAL);
  if (principal === undefined) throw new PkiError('setup.failed', `the principal "${PRINCIPAL}" of role system is missing: run fleetroot up, which creates it`);
  return principal.id;
}
