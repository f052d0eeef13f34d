import { createSign, generateKeyPairSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type CrlEntry, encodeName, keyIdentifier, writeCrl, writeCrlTbs } from '@fleetroot/x509';
import { FileSpool } from '../support/file-spool.ts';
import { processorSeconds } from './processor-time.ts';
import type { Scratch } from './scratch.ts';

/** Rows a page, as the ledger's cursor gives them. */
const PAGE = 1_000;

async function* revoked(count: number, look: () => void): AsyncGenerator<CrlEntry> {
  for (let from = 0; from < count; from += PAGE) {
    await new Promise(setImmediate);
    look();
    for (let place = from; place < Math.min(count, from + PAGE); place++) {
      const serial = Buffer.alloc(16, 0x40);
      serial.writeUInt32BE(place, 8);
      yield { serial, revokedAt: new Date(Date.UTC(2026, 0, 1) + place * 1000), reason: place % 6 };
    }
  }
}

export interface LongCrl {
  readonly seconds: number;
  /** Of the processor, which a busy machine does not stretch as it does `seconds`. */
  readonly processorSeconds: number;
  readonly octets: number;
  /** Bytes, at most, over what the process used before. */
  readonly memory: number;
}

/** Writes one CRL through a spool on disk into a file. */
export async function writeLongCrl(scratch: Scratch, count: number): Promise<LongCrl> {
  const folder = scratch.folder();
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const idle = process.memoryUsage.rss();
  let most = idle;
  const look = (): void => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const began = performance.now();
  const before = process.cpuUsage();
  const spool = new FileSpool(join(folder, 'spool'));
  const tbs = await writeCrlTbs({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: encodeName([{ type: 'commonName', value: 'Bench' }]),
    thisUpdate: new Date('2026-11-22T12:00:00Z'), nextUpdate: new Date('2026-11-29T12:00:00Z'), number: 1n,
    authorityKeyIdentifier: keyIdentifier(publicKey.export({ type: 'spki', format: 'der' })),
  }, revoked(count, look), spool);
  look();
  // node:crypto signs no digest, as the HSM does: so the octets are read and hashed once more here.
  const signer = createSign('sha256');
  for await (const chunk of tbs.chunks()) signer.update(chunk);
  const file = openSync(join(folder, 'crl'), 'w');
  let octets = 0;
  for await (const chunk of writeCrl(tbs, new Uint8Array(signer.sign(privateKey)))) {
    octets += writeSync(file, chunk);
    look();
  }
  closeSync(file);
  spool.close();
  return { seconds: (performance.now() - began) / 1000, processorSeconds: processorSeconds(before), octets, memory: most - idle };
}
