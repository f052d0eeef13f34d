// A running product with certificates, and what relying parties ask it about them.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serialFromHex, serialToBytes } from '@fleetroot/core';
import { der } from '@fleetroot/x509';
import { ocspRequest } from '../support/ocsp-request.ts';
import type { Product } from '../support/product.ts';
import { showing } from './bar.ts';
import { readResults, sendBatch } from './client.ts';
import { start } from './installation.ts';
import { makeRequests } from './request-file.ts';
import type { Scratch } from './scratch.ts';

/** As many as a million revoked certificates want (docs/profiles.md). */
export const SHARDS = 64;
export const ISSUERS = 2;
const PROFILES = fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url));

export interface Issued {
  readonly serial: string;
  readonly certificate: Buffer;
}

export interface Site {
  readonly product: Product;
  readonly port: number;
  /** Certificate of the issuing CA, DER. */
  readonly issuer: Buffer;
  readonly issued: readonly Issued[];
  stop(): Promise<void>;
}

/** A new installation whose ECU certificates point to shards, with so many of them. */
export async function startSite(scratch: Scratch, certificates: number): Promise<Site> {
  const requests = await makeRequests(scratch, certificates);
  const { product, stop } = await start(scratch, { issuers: ISSUERS, settings: [`FLEETROOT_PROFILES_DIR=${shardedProfiles(scratch)}`] });
  const batch = await sendBatch(product, requests);
  await showing(certificates, 'certificates received', (onDone) => readResults(product, batch, onDone));
  return {
    product, stop, port: Number(new URL(product.status).port),
    issuer: Buffer.from(await (await fetch(`${product.status}/ca/ecu-issuing.cer`)).arrayBuffer()),
    issued: await issuedIn(product, batch),
  };
}

function shardedProfiles(scratch: Scratch): string {
  const folder = scratch.folder();
  cpSync(PROFILES, folder, { recursive: true });
  const file = join(folder, 'ecu-client.yaml');
  writeFileSync(file, `${readFileSync(file, 'utf8')}\ncrlShards: ${SHARDS}\n`);
  return folder;
}

async function issuedIn(product: Product, batch: string): Promise<Issued[]> {
  const answer = await product.fetch('GET', `/v1/batches/${batch}/certificates`, 'line');
  return (await answer.text()).trim().split('\n').map((line) => {
    const { serial, certificate } = JSON.parse(line) as { serial: string; certificate: string };
    return { serial, certificate: Buffer.from(certificate, 'base64') };
  });
}

export async function revoke({ product }: Site, { serial }: Issued, reason = 'superseded'): Promise<void> {
  const { status } = await product.json('POST', `/v1/certificates/${serial}/revocation`, 'security', { reason });
  if (status !== 200) throw new Error(`the revocation of ${serial} answered ${status}`);
}

export const serialOctets = ({ serial }: Issued): Uint8Array => serialToBytes(serialFromHex(serial));

export const questionOf = ({ issuer }: Site, one: Issued, nonce?: Uint8Array): Uint8Array => ocspRequest([{ issuer, serial: serialOctets(one) }], nonce);

export const pathOf = (site: Site, one: Issued): string => `/ocsp/${encodeURIComponent(Buffer.from(questionOf(site, one)).toString('base64'))}`;

export const getOf = (path: string): Buffer => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`);

export const postOf = (body: Uint8Array, close = false): Buffer => Buffer.concat([
  Buffer.from(`POST /ocsp HTTP/1.1\r\nHost: bench\r\nContent-Type: application/ocsp-request\r\nContent-Length: ${body.length}\r\n${close ? 'Connection: close\r\n' : ''}\r\n`), body,
]);

/** By the octets that follow the serial number: good is [0] without content, revoked is [1] (RFC 6960 section 4.2.1). */
export async function isRevoked({ product }: Site, path: string, one: Issued): Promise<boolean> {
  const body = Buffer.from(await (await fetch(`${product.status}${path}`)).arrayBuffer());
  const integer = Buffer.from(der.integer(serialOctets(one)));
  const at = body.indexOf(integer);
  if (at === -1) throw new Error(`an OCSP answer without the serial number ${one.serial}`);
  const status = body[at + integer.length];
  if (status !== 0x80 && status !== 0xa1) throw new Error(`a status of ${status} for ${one.serial}`);
  return status === 0xa1;
}
