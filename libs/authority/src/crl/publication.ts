import type { Clock } from '@fleetroot/core';
import type { CertificationAuthority } from '../ports/authorities.ts';
import type { CaSigner } from '../ports/ca-signer.ts';
import type { CrlLedger } from '../ports/status.ts';

/** What a run publishes by. */
export interface CrlPublication {
  readonly crls: CrlLedger;
  readonly authority: CertificationAuthority;
  readonly signer: CaSigner;
  readonly clock: Clock;
  /** nextUpdate minus thisUpdate of full CRLs, in milliseconds; whole seconds count. */
  readonly lifetimeMs: number;
  /** The same of deltas; absent: that of full CRLs. */
  readonly deltaLifetimeMs?: number;
  /** Part of its lifetime after which a CRL is published anew, in percent; 50. */
  readonly refreshPercent?: number;
  /** As `DueRules` has it. */
  readonly smallShard?: number;
  /** Where CRLs are served; absent: the CRL of the whole CA does not say where its delta is. */
  readonly statusUrl?: string;
}
