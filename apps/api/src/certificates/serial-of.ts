import { type Serial, serialFromBytes } from '@fleetroot/core';
import { DerReader } from '@fleetroot/x509';

const SEQUENCE = 0x30;
const VERSION = 0xa0;

/** The serial number of a certificate of our own, without reading the rest of it. */
export function serialOf(certificate: Uint8Array): Serial {
  const tbs = new DerReader(certificate, 'certificate.malformed').enter(SEQUENCE, 'certificate').enter(SEQUENCE, 'tbsCertificate');
  tbs.enterOptional(VERSION, 'version');
  return serialFromBytes(tbs.integer('serialNumber'));
}
