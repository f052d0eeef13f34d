import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LedgerKey, toHex } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { invariants } from '../support/invariants.ts';
import { acceptedBatch, addCa, ceremonyCertificate, event, intentFor, issueChunk, type TestLedger } from '../support/ledger.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { certify, named } from '../support/software-ca.ts';

/** A ledger with a rollover, a revoked CA, cross-certificates, an OCSP signer from a ceremony and chunks that were given back. */
let postgres: TestPostgres;
let store: Store;
let dataDir: string;
beforeAll(async () => {
  postgres = await startTestPostgres();
  const ledgerKey = randomBytes(32);
  const key = new LedgerKey(ledgerKey);
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: key, pool: 4 });
  dataDir = await mkdtemp(join(tmpdir(), 'fleetroot-invariants-'));
  await mkdir(join(dataDir, 'secrets'));
  await writeFile(join(dataDir, 'secrets/database-url'), postgres.databaseUrl.reveal());
  await writeFile(join(dataDir, 'secrets/ledger-key'), toHex(ledgerKey));

  const told = event('ca.state-changed', 'ca:test');
  const root = await addCa(store, 'root');
  const rootG2 = await addCa(store, 'root-g2', undefined, { keyId: undefined });
  const g1 = await addCa(store, 'g1', root);
  const g2 = await addCa(store, 'g2', root, { state: 'prepared' });
  const lost = await addCa(store, 'lost', root);
  const cross = certify({ subject: named('g1'), issuer: rootG2.made, key: { privateKey: createPrivateKey(g1.made.keyPem), publicKey: createPublicKey(g1.made.keyPem) } });
  await store.authorities.addCertificate(ceremonyCertificate('cross', cross.certificate, g1.ca.id, rootG2.ca.id), told);
  const signer = certify({ subject: named('ocsp'), issuer: rootG2.made, extensions: [] });
  await store.authorities.addCertificate(ceremonyCertificate('ocsp-signer', signer.certificate, undefined, rootG2.ca.id), told);
  const principal = await store.principals.put('line', ['line'], randomBytes(32), undefined, event('principal.created', 'principal:line'));
  const profile = await store.profiles.ensure('ecu-client', '{}');
  await store.authorities.revoke({ caId: lost.ca.id, reason: 1, revokedAt: new Date(), principalId: principal.id }, event('ca.revoked', 'ca:lost'));
  const ledger: TestLedger = {
    postgres, key, store, ca: g1.ca, close: () => Promise.resolve(),
    batch: { principalId: principal.id, idempotencyKey: undefined, caId: g1.ca.id, profileVersionId: profile.id, priority: 10, purpose: 'line' },
  };
  const { chunkIds: [first, second] } = await acceptedBatch(ledger, [3, 4]);
  await issueChunk(ledger, first!);
  await store.authorities.succeed(g1.ca.id, { successorId: g2.ca.id, switchAt: new Date() }, told);
  if (!(await store.authorities.switchOver(g1.ca.id, new Date(Date.now() + 1), told))) throw new Error('not switched');
  const chunk = (await store.issuance.claim(second!, 30_000))!;
  await store.issuance.recordIntent(chunk, { ...intentFor(chunk), caId: g2.ca.id });
  await store.issuance.release(chunk, undefined, [2 + chunk.first, 3 + chunk.first]);
});
afterAll(async () => {
  await store.close();
  await postgres.stop();
  await rm(dataDir, { recursive: true });
});

const look = (only: string, tamper?: string) => invariants({ dataDir, status: 'http://127.0.0.1:9' }, { only, ...(tamper === undefined ? {} : { tamper }) });

// Each holds here, and is seen where it does not: checks that cannot fail show nothing.
describe.each([
  ['an issuer uses a serial once, for leaves and in ceremonies', `UPDATE ceremony_certificate m SET serial = c.serial, issuer_id = c.ca_id FROM certificate c WHERE m.kind = 'ocsp-signer' AND c.id = (SELECT max(id) FROM certificate)`],
  ['the certificate of a CA is one that a ceremony made, and ends last', `DELETE FROM ceremony_certificate WHERE kind = 'ca' AND subject_id = (SELECT id FROM ca WHERE name = 'g1')`],
  ['the certificate of a CA is one that a ceremony made, and ends last', `UPDATE ca SET not_after = not_after - interval '1 day' WHERE name = 'g1'`],
  ['a revoked CA is revoked at each of its issuers', 'ALTER TABLE revocation DISABLE TRIGGER USER; DELETE FROM revocation'],
  ['a CA follows one, and no CA follows itself', `UPDATE ca SET successor_id = (SELECT id FROM ca WHERE name = 'g1'), switch_at = now() WHERE name = 'g2'`],
  ['what a CA issues ends with it', `UPDATE ca SET not_after = now() WHERE name = 'g1'`],
  ['a certificate has a stored intent', `UPDATE certificate SET ca_id = (SELECT id FROM ca WHERE name = 'g2')`],
  ['an abandoned intent is burned', `UPDATE intent SET untouched = '{}' WHERE state = 'abandoned'`],
  ['an abandoned intent is burned', `UPDATE intent SET untouched = untouched || 3 WHERE state = 'abandoned'`],
  ['an abandoned intent is burned', `ALTER TABLE burned_serial DISABLE TRIGGER USER; DELETE FROM burned_serial WHERE serial = (SELECT max(serial) FROM burned_serial)`],
  ['what ceremonies made is what its rows say', `UPDATE ceremony_certificate SET serial = '\\x01' WHERE kind = 'cross'`],
  ['what ceremonies made is what its rows say', `UPDATE ceremony_certificate SET not_after = now() WHERE kind = 'cross'`],
  ['what ceremonies made is what its rows say', `UPDATE ceremony_certificate SET sha256 = '\\x01' WHERE kind = 'cross'`],
  ['what ceremonies made is what its rows say', `UPDATE ceremony_certificate SET issuer_id = (SELECT id FROM ca WHERE name = 'root') WHERE kind = 'cross'`],
  ['what ceremonies made is what its rows say', `UPDATE ceremony_certificate SET subject_id = (SELECT id FROM ca WHERE name = 'g2') WHERE kind = 'cross'`],
])('%s', (name, tamper) => {
  it('holds', async () => expect(await look(name)).toEqual([]));
  it(`is seen after ${tamper}`, async () => expect(await look(name, tamper)).not.toEqual([]));
});
