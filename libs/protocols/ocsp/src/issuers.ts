import type { CertificationAuthority } from '@fleetroot/authority';
import { type CertId, issuerHashes, type IssuerHashes, type OcspRequest, parseCertificate } from '@fleetroot/x509';

/** What is read from a list of CAs; it is forgotten with the list. */
const lists = new WeakMap<readonly CertificationAuthority[], Map<string, CertificationAuthority>>();
const hashesOf = new WeakMap<CertificationAuthority, IssuerHashes>();

/** The hashes that CertIDs name a CA by. */
export function hashesOfCa(authority: CertificationAuthority): IssuerHashes {
  let hashes = hashesOf.get(authority);
  if (hashes === undefined) hashesOf.set(authority, (hashes = issuerHashes(parseCertificate(authority.certificate))));
  return hashes;
}

/** The one CA of ours that all CertIDs name; undefined where one names another, or several are named. */
export function commonIssuer({ requests }: OcspRequest, authorities: readonly CertificationAuthority[]): CertificationAuthority | undefined {
  let known = lists.get(authorities);
  if (known === undefined) lists.set(authorities, (known = byHashes(authorities)));
  const [first, ...others] = requests.map((certId) => known.get(nameOf(certId)));
  return others.every((other) => other?.id === first?.id) ? first : undefined;
}

function byHashes(authorities: readonly CertificationAuthority[]): Map<string, CertificationAuthority> {
  const known = new Map<string, CertificationAuthority>();
  // Where two CAs are one by name and key, the first: as for whoever reads the list in its order.
  for (const authority of authorities.toReversed()) {
    for (const [hash, { name, key }] of Object.entries(hashesOfCa(authority))) known.set(`${hash} ${latin1(name)} ${latin1(key)}`, authority);
  }
  return known;
}

const nameOf = ({ hash, issuerNameHash, issuerKeyHash }: CertId): string => `${hash ?? ''} ${latin1(issuerNameHash)} ${latin1(issuerKeyHash)}`;

/** Octets as the characters of a text, for the key of a map. */
export const latin1 = (octets: Uint8Array): string => Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1');
