import { equalBytes } from '@fleetroot/core';
import { parseCertificate } from '@fleetroot/x509';
import type { CertificationAuthority } from '../ports/authorities.ts';
import { generations, isTrusted } from './lineage.ts';

type Ca = CertificationAuthority;

/** How long ago "now" may be by the clock of whoever says it, in milliseconds. */
const NOW_MS = 60_000;

/** Why one CA cannot follow another at that time, in words for the operator; undefined: it can. */
export function successionFault(ca: Ca, successor: Ca, switchAt: Date, all: readonly Ca[], now: Date): string | undefined {
  if (ca.id === successor.id) return 'a CA does not follow itself';
  if (ca.state !== 'active') return `the CA ${ca.name} is ${ca.state}: only an active one is followed`;
  if (successor.state !== 'prepared') return `the CA ${successor.name} is ${successor.state}: only a prepared one can follow`;
  if (!isTrusted(successor, all)) return `the CA ${successor.name}, or one above it, is revoked or retired`;
  if ((ca.keyId === undefined) !== (successor.keyId === undefined)) return `the key of one of ${ca.name} and ${successor.name} is online and the other's is not: they do not serve the same purpose`;
  if (equalBytes(parseCertificate(ca.certificate).spkiDer, parseCertificate(successor.certificate).spkiDer)) return 'both have the same key: that is a renewal';
  if (generations(successor, all).some(({ id }) => id === ca.id)) return `the CA ${ca.name} comes after ${successor.name} already`;
  const other = all.find(({ id, successorId }) => successorId === successor.id && id !== ca.id);
  if (other !== undefined) return `the CA ${successor.name} follows ${other.name} already`;
  if (switchAt.getTime() < now.getTime() - NOW_MS) return 'switchAt lies in the past';
  if (switchAt < successor.notBefore || switchAt > successor.notAfter) return `the certificate of ${successor.name} is not valid at switchAt`;
  // Between its end and the switch nobody would issue. One that has ended already is followed as soon as can be.
  return now <= ca.notAfter && switchAt > ca.notAfter ? `the certificate of ${ca.name} ends at ${ca.notAfter.toISOString()}, before switchAt` : undefined;
}
