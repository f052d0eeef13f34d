/** What decides whether a truststore holds a CA. */
export interface MemberCa {
  readonly id: number;
  /** The next generation of the CA. */
  readonly successorId: number | undefined;
  /** Whether relying parties are to trust it: neither it nor a CA above it is revoked or retired. */
  readonly trusted: boolean;
}

/**
 * The CAs that a truststore of these members is to hold: each member, followed by the generations after it, without those
 * that are not to be trusted (any more). A generation that is made comes in with its predecessor, before its first
 * certificate is shown to a gateway; one that is revoked goes, and those after it stay. Each CA is named once; the order
 * is that of the members, so that the same members give the same list, and the list gives itself.
 * @param memberIds ids that are not among `cas` are left out
 */
export function trustedMembers(memberIds: readonly number[], cas: readonly MemberCa[]): readonly number[] {
  const byId = new Map(cas.map((ca) => [ca.id, ca]));
  const seen = new Set<number>();
  for (const memberId of memberIds) {
    for (let ca = byId.get(memberId); ca !== undefined && !seen.has(ca.id); ca = byId.get(ca.successorId ?? -1)) seen.add(ca.id);
  }
  return [...seen].filter((id) => byId.get(id)?.trusted === true);
}
