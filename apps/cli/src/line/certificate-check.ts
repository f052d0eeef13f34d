import { X509Certificate } from 'node:crypto';
import { equalBytes } from '@fleetroot/core';
import type { Truststore } from './truststore.ts';
import type { PlannedEcu } from './vehicles.ts';

/** id-kp-clientAuth (RFC 5280 section 4.2.1.12). */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** What was asked for, and what came back. */
export interface Delivered {
  readonly ecu: Pick<PlannedEcu, 'serial' | 'partNumber'>;
  readonly spkiDer: Uint8Array;
  /** DER, or PEM. */
  readonly certificate: Buffer | string;
}

/**
 * Looks at a certificate as the line does before it lets the ECU go: is it this ECU's key and name, signed by a CA of
 * the truststore, for TLS clients, valid now? By node:crypto, so that not our own parser alone says so.
 * @throws Error that says what is wrong, and for which ECU
 */
export function checkDelivered({ ecu, spkiDer, certificate: received }: Delivered, truststore: Truststore, now: Date): X509Certificate {
  const certificate = new X509Certificate(received);
  const faults: string[] = [];
  if (!equalBytes(certificate.publicKey.export({ format: 'der', type: 'spki' }), spkiDer)) faults.push('holds another key');
  const subject = new Set(certificate.subject.split('\n'));
  if (!subject.has(`CN=${ecu.serial}`) || !subject.has(`OU=${ecu.partNumber}`)) faults.push(`names another ECU (${[...subject].join(', ')})`);
  if (certificate.ca) faults.push('is a CA');
  if (certificate.keyUsage?.join() !== CLIENT_AUTH) faults.push('is not for TLS clients alone');
  if (certificate.validFromDate > now || certificate.validToDate < now) faults.push('is not valid now');
  if (faults.length > 0) throw new Error(`the certificate of ${ecu.serial} ${faults.join(', ')}`);
  truststore.issuerOf(certificate);
  return certificate;
}
