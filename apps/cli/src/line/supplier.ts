import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type EcuSerial, ecuSerial, type PartNumber, partNumber } from '@fleetroot/core';
import type { Openssl } from './openssl.ts';

/** A supplier's own small PKI, as OpenSSL makes one, and an ECU of it that comes from the factory. */
export interface SupplierPki {
  readonly name: string;
  /** PEM of the CA that signs its factory certificates. */
  readonly ca: string;
  readonly serial: EcuSerial;
  readonly partNumber: PartNumber;
  /** PEM of the ECU's factory certificate and key. */
  readonly certificate: string;
  readonly key: string;
}

const PART_NUMBER = partNumber('SUP-880-101-A');

/** Makes a CA and one ECU with a factory certificate: the serialNumber names the ECU, the commonName its part number. */
export async function makeSupplier(openssl: Openssl): Promise<SupplierPki> {
  const run = randomBytes(4).toString('hex');
  const serial = ecuSerial(`SUP-${run.toUpperCase()}`);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await openssl.must('req', '-x509', ...newKey, '-keyout', 'supplier.key', '-out', 'supplier.pem', '-days', '3650',
    '-subj', `/O=Supplier ${run}/CN=Factory CA`, '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  await openssl.must('req', '-new', ...newKey, '-keyout', 'ecu.key', '-out', 'ecu.csr', '-subj', `/O=Supplier ${run}/serialNumber=${serial}/CN=${PART_NUMBER}`);
  openssl.file('ecu.ext', 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n');
  await openssl.must('x509', '-req', '-in', 'ecu.csr', '-CA', 'supplier.pem', '-CAkey', 'supplier.key', '-CAcreateserial', '-out', 'ecu.pem', '-days', '3650', '-extfile', 'ecu.ext');
  const read = (file: string): string => readFileSync(`${openssl.folder}/${file}`, 'utf8');
  return { name: `supplier-${run}`, ca: read('supplier.pem'), serial, partNumber: PART_NUMBER, certificate: read('ecu.pem'), key: read('ecu.key') };
}
