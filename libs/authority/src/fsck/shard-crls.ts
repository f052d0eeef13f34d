import { toHex } from '@fleetroot/core';
import type { ParsedCrl } from '@fleetroot/x509';
import { signsStatus } from '../hierarchy/state.ts';
import type { CrlScope } from '../ports/crl.ts';
import type { InspectedAuthority, LedgerView } from '../ports/inspection.ts';
import { revocationReasons } from '../ports/status.ts';
import type { KeptCrls } from './kept-crls.ts';
import type { Findings } from './report.ts';

/** What the newest full CRL of a shard and its delta say, read along in the order of serials. */
class ShardReader {
  readonly full: KeptCrls;
  readonly delta: KeptCrls | undefined;
  readonly #walk;
  #more: boolean;

  constructor(full: KeptCrls, delta: KeptCrls | undefined) {
    this.full = full;
    this.delta = delta;
    this.#walk = full.newest?.entries.walk();
    this.#more = this.#walk?.step() ?? false;
  }

  /** The reason for which it lists the serial; those asked for come in ascending order. */
  reasonOf(serial: Uint8Array): number | undefined {
    const onFull = this.#walk === undefined ? undefined : this.#reasonOnFull(this.#walk, serial);
    // A delta of the same number or older adds nothing; one that starts from a later CRL does not belong to this one.
    const delta = this.delta?.newest;
    const onDelta = delta !== undefined && delta.number > (this.full.newest?.number ?? 0n) ? delta.entries.get(toHex(serial))?.reason : undefined;
    return onDelta === revocationReasons.removeFromCRL ? undefined : onDelta ?? onFull;
  }

  #reasonOnFull(walk: ReturnType<ParsedCrl['entries']['walk']>, serial: Uint8Array): number | undefined {
    let order = -1;
    while (this.#more && (order = Buffer.compare(walk.serial, serial)) < 0) this.#more = walk.step();
    return this.#more && order === 0 ? walk.reason : undefined;
  }
}

/**
 * The newest CRLs of shards against what is on record: each revoked or burned serial is on the full CRL of its shard, or
 * on the delta of that. One pass over the ledger, however many shards there are.
 * @param before changes from then on may be on their way, in milliseconds
 */
export async function inspectShards(ca: InspectedAuthority, kept: readonly KeptCrls[], view: LedgerView, findings: Findings, before: number): Promise<void> {
  if (!signsStatus(ca)) return;
  const readers = new Map<CrlScope, ShardReader>();
  for (const full of kept) {
    if (full.scope === 'all' || full.kind !== 'full' || full.newest === undefined) continue;
    readers.set(full.scope, new ShardReader(full, kept.find(({ scope, kind }) => scope === full.scope && kind === 'delta')));
  }
  if (readers.size === 0) return;
  for await (const page of view.listed(ca.id)) {
    for (const { serial, reason, notAfter, changedAt, shards, shard } of page) {
      const reader = readers.get(`${shards}/${shard}`);
      if (reader === undefined) continue;
      const shown = reader.reasonOf(serial);
      if (shown === reason || notAfter < reader.full.shownUntil || changedAt >= before) continue;
      findings.breach('crl-lists', `serial ${toHex(serial)}`, shown === undefined
        ? `is not on the CRL ${reader.full.scope} of ${ca.name}, nor on its delta` : `is listed for reason ${shown}, and revoked for ${reason}, on the CRL ${reader.full.scope} of ${ca.name}`);
    }
  }
  findings.count('shards', readers.size);
}
