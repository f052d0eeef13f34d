import { generateKeyPairSync, sign } from 'node:crypto';
import { buildRequest } from '@fleetroot/x509';

/** A key as Node's `tls` takes it, and a request for it: base64 of the DER. */
export async function p256Request(): Promise<{ readonly key: string; readonly csr: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const der = await buildRequest(
    { subject: [{ type: 'commonName', value: 'ecu' }], spkiDer: publicKey.export({ format: 'der', type: 'spki' }), algorithm: 'ecdsa-sha256' },
    (info) => sign('sha256', info, { key: privateKey, dsaEncoding: 'der' }),
  );
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, csr: Buffer.from(der).toString('base64') };
}

export const p256Csr = async (): Promise<string> => (await p256Request()).csr;
