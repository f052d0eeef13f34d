import { generateKeyPairSync, sign } from 'node:crypto';
import { Client } from 'undici';
import { toBase64 } from '@fleetroot/core';
import { buildRequest } from '@fleetroot/x509';
import { checkDelivered } from './certificate-check.ts';
import type { Openssl } from './openssl.ts';
import { problem, type RestClient } from './rest.ts';
import { makeSupplier, type SupplierPki } from './supplier.ts';
import type { Truststore } from './truststore.ts';

export interface FirstConnectionOptions {
  readonly admin: RestClient;
  /** https URL of the device listener. */
  readonly device: string;
  readonly truststore: Truststore;
  readonly openssl: Openssl;
  readonly signal: AbortSignal;
}

export interface FirstConnectionResult {
  readonly supplier: string;
  readonly ecuSerial: string;
  /** From the connection to the operational certificate. */
  readonly milliseconds: number;
}

interface Registration {
  readonly outcome: 'registered' | 'known';
  readonly certificate?: string;
}

/**
 * The first connection of a supplier's ECU: the supplier's CA is registered by the admin, then the ECU connects by
 * mutual TLS with its factory certificate, checks the server against the truststore, and gets its operational
 * certificate over that connection. A second connection must find it known.
 * @throws Error that says what was seen instead
 */
export async function firstConnection({ admin, device, truststore, openssl, signal }: FirstConnectionOptions): Promise<FirstConnectionResult> {
  const supplier = await makeSupplier(openssl);
  await admin.post('/v1/suppliers', { name: supplier.name, certificate: supplier.ca });

  const began = performance.now();
  const { spkiDer, csr } = await operationalRequest();
  const first = await connect(device, supplier, truststore, { csr }, signal);
  const milliseconds = performance.now() - began;
  if (first.outcome !== 'registered' || first.certificate === undefined) throw new Error(`the first connection of ${supplier.serial} was answered "${first.outcome}"`);
  checkDelivered({ ecu: supplier, spkiDer, certificate: first.certificate }, truststore, new Date());

  const second = await connect(device, supplier, truststore, {}, signal);
  if (second.outcome !== 'known') throw new Error(`the second connection of ${supplier.serial} was answered "${second.outcome}"`);
  return { supplier: supplier.name, ecuSerial: supplier.serial, milliseconds };
}

/** The ECU's operational key is another than its factory key. */
async function operationalRequest(): Promise<{ spkiDer: Uint8Array; csr: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spkiDer = publicKey.export({ format: 'der', type: 'spki' });
  const der = await buildRequest({ subject: [], spkiDer, algorithm: 'ecdsa-sha256' }, (info) => sign('sha256', info, privateKey));
  return { spkiDer, csr: toBase64(der) };
}

/** One TLS connection, and on it one request. */
async function connect(device: string, ecu: SupplierPki, truststore: Truststore, body: { csr?: string }, signal: AbortSignal): Promise<Registration> {
  const client = new Client(device, { connect: { ca: truststore.pem, cert: ecu.certificate, key: ecu.key } });
  try {
    const response = await client.request({
      method: 'POST', path: '/v1/device/registration', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal,
    });
    const text = await response.body.text();
    if (response.statusCode !== 201) throw new Error(`the device listener refused ${ecu.serial}: ${problem(response.statusCode, text)}`);
    return JSON.parse(text) as Registration;
  } finally {
    await client.close();
  }
}
