import type { BatchProgress } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { HttpPrincipal } from '@fleetroot/http';

const SEES_ALL = ['admin', 'security', 'auditor'];

/** Who may only see what it brought in itself (I32): lines and gateways. */
export function ownOnly(principal: HttpPrincipal): boolean {
  return !principal.roles.some((role) => SEES_ALL.includes(role));
}

/** @throws PkiError `batch.not-found` where the batch is somebody else's: that it exists is none of the caller's business */
export function inScope<B extends Pick<BatchProgress, 'principalId'>>(batch: B, principal: HttpPrincipal): B {
  if (ownOnly(principal) && batch.principalId !== principal.id) throw new PkiError('batch.not-found');
  return batch;
}
