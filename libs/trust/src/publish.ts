import { hash } from 'node:crypto';
import { type TrustedCa, truststorePem } from './bundle.ts';
import { type MemberCa, trustedMembers } from './members.ts';
import type { TruststoreLedger, TruststoreVersion } from './ports.ts';

/** A CA on record, as truststores see it. */
export interface TruststoreCa extends MemberCa, TrustedCa {
  readonly name: string;
}

export interface TruststoreContent {
  readonly name: string;
  /** undefined: as it is. */
  readonly description: string | undefined;
  readonly memberIds: readonly number[];
  /** The version that the members are taken from: a publisher who was faster is right. */
  readonly basedOn?: TruststoreVersion;
}

/** Who publishes and when, as AuditEvent has them. */
export interface Publisher {
  readonly actor: string;
  readonly at: Date;
}

/** What a new version has changed; names of CAs. */
export interface TruststoreChange {
  /** Whether this call has made the version. */
  readonly changed: boolean;
  readonly version: TruststoreVersion;
  readonly members: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/**
 * Publishes a truststore of these members, with the generations after them and without those that are not to be trusted
 * (`trustedMembers`). The same content makes no new version.
 */
export async function publishTruststore(
  truststores: TruststoreLedger, { name, description, memberIds, basedOn }: TruststoreContent, cas: readonly TruststoreCa[], { actor, at }: Publisher,
): Promise<TruststoreChange> {
  const names = (ids: readonly number[]): string[] => named(ids, cas).map((ca) => ca.name);
  const ids = trustedMembers(memberIds, cas);
  const before = basedOn?.caIds ?? [];
  const change = {
    members: names(ids), added: names(ids.filter((id) => !before.includes(id))), removed: names(before.filter((id) => !ids.includes(id))),
  };
  const pem = truststorePem(named(ids, cas));
  let made: number | undefined;
  const version = await truststores.publish(name, description, ids, pem, (number) => {
    made = number;
    const about = basedOn === undefined ? {} : { added: change.added, removed: change.removed };
    return {
      action: 'truststore.published', actor, at, subject: `truststore:${name}`,
      data: { version: number, cas: change.members, sha256: hash('sha256', pem, 'hex'), ...about },
    };
  }, basedOn?.version);
  return { changed: made === version.version, version, ...change };
}

const named = (ids: readonly number[], cas: readonly TruststoreCa[]): TruststoreCa[] => ids.flatMap((id) => cas.find((ca) => ca.id === id) ?? []);

/** Another publisher may come between, and his version is the one to start from then; so many times. */
const ATTEMPTS = 3;

/**
 * Makes a truststore hold what it is to hold now: without CAs that are revoked or retired, and what is below them; with
 * each next generation; with the newest certificate of each.
 * @returns what has changed; undefined: nothing had to, or others were faster each time
 * @throws PkiError `truststore.not-found`
 */
export async function followCas(
  truststores: TruststoreLedger, name: string, cas: readonly TruststoreCa[], publisher: Publisher,
): Promise<TruststoreChange | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const current = await truststores.current(name);
    const pem = truststorePem(named(trustedMembers(current.caIds, cas), cas));
    if (pem === current.pem) return undefined;
    const change = await publishTruststore(truststores, { name, description: undefined, memberIds: current.caIds, basedOn: current }, cas, publisher);
    if (change.changed) return change;
  }
  return undefined;
}
