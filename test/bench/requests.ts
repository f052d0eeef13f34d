import { generateKeyPairSync, sign } from 'node:crypto';
import { buildRequest, parseRequest } from '@fleetroot/x509';

export interface EcuRequest {
  readonly ecuSerial: string;
  readonly partNumber: string;
  /** PKCS#10, DER. */
  readonly csr: Uint8Array;
}

export const ecuSerialOf = (run: string, place: number): string => `B${run}-${place}`;

/** P-256 requests as ECUs make them, of a run's own serials, so that no two runs meet. */
export async function ecuRequests(count: number, run: string): Promise<EcuRequest[]> {
  const requests: EcuRequest[] = [];
  for (let i = 0; i < count; i++) requests.push(await ecuRequest(ecuSerialOf(run, i)));
  return requests;
}

/** With a key of its own. */
export async function ecuRequest(ecuSerial: string): Promise<EcuRequest> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await buildRequest(
    {
      subject: [{ type: 'commonName', value: ecuSerial }],
      spkiDer: publicKey.export({ format: 'der', type: 'spki' }),
      algorithm: 'ecdsa-sha256',
    },
    (info) => sign('sha256', info, { key: privateKey, dsaEncoding: 'der' }),
  );
  return { ecuSerial, partNumber: 'BENCH-1', csr };
}

/** What a raw verification needs, taken apart beforehand. */
export const rawVerification = (csr: Uint8Array): { info: Uint8Array; spki: Uint8Array; signature: Uint8Array } => {
  const request = parseRequest(csr);
  return { info: request.infoDer, spki: request.spkiDer, signature: request.signature };
};
