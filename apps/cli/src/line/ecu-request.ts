import { generateKeyPairSync, sign } from 'node:crypto';
import { toBase64 } from '@fleetroot/core';
import { buildRequest } from '@fleetroot/x509';
import type { PlannedEcu } from './vehicles.ts';

export interface EcuRequest {
  readonly ecu: PlannedEcu;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array;
  /** The line of the batch. */
  readonly line: string;
}

/**
 * What the ECU does in its first second: it makes its key, signs a request with it and hands the request to the line.
 * The private key stays with the ECU, so here it is forgotten.
 */
export async function ecuRequest(ecu: PlannedEcu): Promise<EcuRequest> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spkiDer = publicKey.export({ format: 'der', type: 'spki' });
  const csr = await buildRequest(
    { subject: [{ type: 'serialNumber', value: ecu.serial }], spkiDer, algorithm: 'ecdsa-sha256' },
    (info) => sign('sha256', info, privateKey),
  );
  const line = JSON.stringify({ ecuSerial: ecu.serial, vin: ecu.vin, partNumber: ecu.partNumber, csr: toBase64(csr) });
  return { ecu, spkiDer, line };
}
