import { ancestry } from '../hierarchy/lineage.ts';
import type { InspectedAuthority, InspectedIntent } from '../ports/inspection.ts';
import type { Findings } from './report.ts';

/** Clocks that are right are within this of each other (I24), and an attempt may have been under way; in milliseconds. */
const IN_FLIGHT_MS = 10_000;

/** Holds attempts against their CA: when it could sign, and what it is on record as having signed last. */
export class AttemptInspector {
  readonly #findings: Findings;
  readonly #authorities: ReadonlyMap<number, InspectedAuthority>;
  /** Since when nothing may be issued by the CA: it, or one above it, was told of as revoked. */
  readonly #revokedAt: ReadonlyMap<number, number>;
  readonly #latest = new Map<number, number>();

  constructor(authorities: readonly InspectedAuthority[], findings: Findings) {
    this.#findings = findings;
    this.#authorities = new Map(authorities.map((ca) => [ca.id, ca]));
    this.#revokedAt = new Map(authorities.map((ca): [number, number] => [ca.id, Math.min(...ancestry(ca, authorities)
      .map(({ id }) => authorities.find((one) => one.id === id)?.toldRevokedAt ?? Infinity))]));
  }

  inspect(intent: InspectedIntent): void {
    this.#findings.count('intents');
    const tell = (what: string): void => this.#findings.breach('intent-ca', `intent ${intent.id}`, what);
    const ca = this.#authorities.get(intent.caId);
    if (ca === undefined) return tell(`its CA ${intent.caId} is not on record`);
    this.#latest.set(ca.id, Math.max(this.#latest.get(ca.id) ?? -Infinity, intent.signedAt));
    if (intent.notAfter > ca.notAfter.getTime()) tell(`what it issues ends after its CA ${ca.name}`);
    if (intent.signedAt < ca.notBefore.getTime() || intent.signedAt > ca.notAfter.getTime()) tell(`was made when the certificate of ${ca.name} was not valid`);
    if (intent.signedAt > (this.#revokedAt.get(ca.id) ?? Infinity) + IN_FLIGHT_MS) tell(`was made after ${ca.name}, or a CA above it, was revoked`);
  }

  /** After the last intent. @param at by the database's clock */
  end(at: Date): void {
    for (const [id, latest] of this.#latest) {
      const ca = this.#authorities.get(id);
      if (ca === undefined) continue;
      const told = ca.lastSignedAt;
      // It is written to the second.
      if (told === null || latest > told + 1000) this.#findings.breach('last-signed', `CA ${ca.name}`, `has signed for ${time(latest)}, and is on record for ${told === null ? 'never' : time(told)}`);
    }
    for (const { name, lastSignedAt } of this.#authorities.values()) {
      if (lastSignedAt !== null && lastSignedAt > at.getTime() + IN_FLIGHT_MS) this.#findings.breach('last-signed', `CA ${name}`, `has signed for ${time(lastSignedAt)}, which is in the future`);
    }
  }
}

const time = (ms: number): string => new Date(ms).toISOString();
