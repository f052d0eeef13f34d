import { createPrivateKey, createPublicKey, randomBytes, randomUUID } from 'node:crypto';
import {
  type CaSigner, Issuance, type Profile, profileDocument, publishCrl, readProfileFolder, type RevocationReason, revocationReasons, revocationRequested,
} from '@fleetroot/authority';
import { ecuSerial, LedgerKey, partNumber, systemClock, systemRandom } from '@fleetroot/core';
import { publishFilter } from '@fleetroot/filter';
import { openStore, type Store } from '@fleetroot/store';
import { assembleCrl, buildCrlTbs, buildRequest, extension } from '@fleetroot/x509';
import { addCa, ceremonyCertificate, day, event, intentFor, type RealCa, randomSerial, sha256, someVin } from './ledger.ts';
import { startTestPostgres, type TestPostgres } from './postgres.ts';
import { caRights, certify, named } from './software-ca.ts';

/**
 * A ledger in which everything has happened that may: real certificates from a batch and single requests, failures, an
 * attempt that was given back, a rollover, a revoked CA, offline CAs, an OCSP signer, revocations, a hold that was
 * released, CRLs that followed one another. Issued by the product's own code, by keys in memory.
 */
export interface IssuedLedger {
  readonly postgres: TestPostgres;
  readonly key: LedgerKey;
  readonly ledgerKey: Uint8Array;
  /** TBS that were signed by the CAs' keys. */
  readonly signed: Uint8Array[];
  /** The first CRL of g1, which lists a hold that was released, and not what was revoked after. */
  readonly earlierCrl: Uint8Array;
  /** The CRLs that are published, by CA, and deltas by `CA.delta`. */
  published(): Promise<Map<string, Uint8Array>>;
  readonly store: Store;
  close(): Promise<void>;
}

export async function issueLedger(): Promise<IssuedLedger> {
  const postgres = await startTestPostgres();
  const ledgerKey = randomBytes(32);
  const key = new LedgerKey(ledgerKey);
  const store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: key, pool: 4 });
  const signed: Uint8Array[] = [];
  const told = event('ca.state-changed', 'ca:test');

  const since = { notBefore: new Date(Date.now() - day), notAfter: new Date(Date.now() + 3650 * day) };
  const root = await addCa(store, 'root', undefined, {}, since);
  const offline = await addCa(store, 'offline', undefined, { keyId: undefined }, since);
  const g1 = await addCa(store, 'g1', root, {}, since);
  const g2 = await addCa(store, 'g2', root, { state: 'prepared' }, since);
  const lost = await addCa(store, 'lost', root, {}, since);
  const cas = new Map([root, g1, g2, lost].map(({ ca, made }) => [ca.id, made]));
  const signer: CaSigner = {
    ready: async () => undefined,
    sign: async ({ id }, tbs) => {
      signed.push(...tbs);
      return tbs.map((one) => cas.get(id)?.sign(one) ?? new Uint8Array(0));
    },
  };
  const cross = certify({
    subject: named('g1'), issuer: offline.made, serial: randomSerial(), ...since,
    key: { privateKey: createPrivateKey(g1.made.keyPem), publicKey: createPublicKey(g1.made.keyPem) }, extensions: caRights,
  });
  await store.authorities.addCertificate(ceremonyCertificate('cross', cross.certificate, g1.ca.id, offline.ca.id), told);
  const offlineSigner = certify({ subject: named('ocsp'), issuer: offline.made, serial: randomSerial(), extensions: [extension.extendedKeyUsage(['OCSPSigning'])] });
  await store.authorities.addCertificate(ceremonyCertificate('ocsp-signer', offlineSigner.certificate, undefined, offline.ca.id), told);

  const principal = (await store.principals.put('line', ['line'], randomBytes(32), undefined, event('principal.created', 'principal:line'))).id;
  const profiles = readProfileFolder('hsm-config/profiles', { statusUrl: 'http://127.0.0.1:8081' });
  const versionOf = async (name: string): Promise<number> => {
    const profile = profiles.get(name) as Profile;
    return (await store.profiles.ensure(profile.name, profileDocument(profile))).id;
  };
  const issuance = new Issuance({
    ledger: store.issuance, authorities: store.authorities, profiles: store.profiles, signer, ledgerKey: key, clock: systemClock, random: systemRandom, staleAfterMs: 30_000,
  });
  const request = async (name: string): Promise<Uint8Array> => {
    const leaf = certify({ subject: named(name) });
    return buildRequest({ subject: named(name), spkiDer: leaf.spkiDer, algorithm: 'ecdsa-sha256' }, (info) => leaf.sign(info));
  };
  let ecus = 0;
  /** Chunks of a new batch, with a failure of the reception in the first, accepted. */
  const submit = async (sizes: readonly number[], caId: number, purpose: 'line' | 'ocsp' = 'line'): Promise<{ batchId: string; chunks: bigint[] }> => {
    const profileVersionId = await versionOf(purpose === 'line' ? 'ecu-client' : 'ocsp-signer');
    const begun = await store.batches.begin({ principalId: principal, idempotencyKey: undefined, caId, profileVersionId, priority: 10, purpose });
    if (begun.kind !== 'new') throw new Error('the batch is not new');
    let first = 0;
    for (const size of sizes) {
      const items = await Promise.all(Array.from({ length: size }, async (_, i) => ({
        ordinal: first + i, csr: await request(`ECU-${ecus}`),
        ...(purpose === 'line' ? { ecuSerial: ecuSerial(`ECU-${ecus++}`), partNumber: partNumber('PN-100-A'), vin: someVin() } : {}),
      })));
      const failed = purpose === 'line' && first === 0 ? [{ ordinal: size, code: 'request.malformed' as const, detail: 'test' }] : [];
      await store.batches.append(begun.batchId, items, failed);
      first += size + failed.length;
    }
    await store.batches.accept(begun.batchId, sha256('body'), event('batch.accepted', `batch:${begun.batchId}`));
    const rows = (await store.outbox.pending(10_000)).filter(({ job }) => job !== 'publish-crl').slice(-sizes.length);
    await store.outbox.remove(rows.map(({ id }) => id));
    return { batchId: begun.batchId, chunks: rows.map(({ payload }) => BigInt((payload as { chunkId: string }).chunkId)) };
  };
  const issue = async (chunkId: bigint | undefined): Promise<void> => {
    if (chunkId === undefined || (await issuance.issueChunk(chunkId)) !== 'done') throw new Error('not issued');
  };
  const revoke = async (ecu: string, reason: RevocationReason): Promise<void> => {
    const [record] = await store.certificates.search({ ecuSerial: ecuSerial(ecu) }, new Date(), undefined, 1);
    if (record === undefined) throw new Error(`no certificate of ${ecu}`);
    await store.revocations.revoke({ serial: record.serial, ca: record.ca, reason, revokedAt: new Date(), principalId: principal },
      { ...event('certificate.revoked', `certificate:${record.ca}/${record.serial}`), data: { reason } });
  };
  const revokeByQuery = async (ecu: string, reason: RevocationReason): Promise<void> => {
    const { job } = await store.revocationJobs.create({
      id: randomUUID(), principalId: principal, idempotencyKey: ecu, reason, invalidityDate: undefined, query: { ecuSerial: ecuSerial(ecu) }, approvalsFor: () => 0,
    }, (made) => revocationRequested(made, 'principal:test', new Date()));
    while (!(await store.revocationJobs.runPage(job.id, new Date())).over);
  };
  const publish = async ({ ca }: RealCa): Promise<void> => void await publishCrl({ crls: store.crls, authority: ca, signer, clock: systemClock, lifetimeMs: day });

  await publish(root);
  await store.authorities.revoke({ caId: lost.ca.id, reason: revocationReasons.keyCompromise, revokedAt: new Date(), principalId: principal }, event('ca.revoked', 'ca:lost'));
  await issue((await submit([1], g1.ca.id, 'ocsp')).chunks[0]);
  const { chunks: [first, second, third] } = await submit([4, 4, 3], g1.ca.id);
  await issue(first);
  await revoke('ECU-0', 'superseded');
  await revoke('ECU-1', 'certificateHold');
  await publish(g1);
  const earlierCrl = (await store.crls.latest(g1.ca.id))?.der ?? new Uint8Array(0);
  await revoke('ECU-1', 'removeFromCRL');
  await revoke('ECU-2', 'keyCompromise');
  await store.authorities.succeed(g1.ca.id, { successorId: g2.ca.id, switchAt: new Date() }, told);
  if (!(await store.authorities.switchOver(g1.ca.id, new Date(Date.now() + 1), told))) throw new Error('not switched');
  // One attempt that was given back with two of its serials burned, then the one that is stored.
  const chunk = await store.issuance.claim(second ?? 0n, 30_000);
  if (chunk === undefined) throw new Error('not claimed');
  await store.issuance.recordIntent(chunk, { ...intentFor(chunk), caId: g2.ca.id, keys: [] });
  await store.issuance.release(chunk, undefined, [2 + chunk.first, 3 + chunk.first]);
  await issue(second);
  await revokeByQuery('ECU-4', 'cessationOfOperation');
  await revokeByQuery('ECU-5', 'keyCompromise');
  // What is under way at the moment of an inspection is no breach.
  const open = await store.issuance.claim(third ?? 0n, 30_000);
  if (open === undefined) throw new Error('not claimed');
  await store.issuance.recordIntent(open, { ...intentFor(open), caId: g2.ca.id, keys: [] });
  for (const ca of [root, g1, g2]) await publish(ca);
  await publishFilter({ filters: store.filters, authority: g1.ca, signer, clock: systemClock, random: systemRandom, lifetimeMs: day });
  await adoptCrl(store, offline);
  return {
    postgres, key, ledgerKey, signed, store, earlierCrl,
    async published() {
      const crls = await Promise.all([root, offline, g1, g2].flatMap(({ ca }) => (['full', 'delta'] as const).map(async (kind): Promise<[string, Uint8Array]> =>
        [kind === 'delta' ? `${ca.name}.delta` : ca.name, (await store.crls.latest(ca.id, 'all', kind))?.der ?? new Uint8Array(0)])));
      return new Map(crls.filter(([, der]) => der.length > 0));
    },
    async close() {
      await store.close();
      await postgres.stop();
    },
  };
}

/** The CRL that a ceremony signed for a CA whose key is not here. */
async function adoptCrl(store: Store, { ca, made }: RealCa): Promise<void> {
  const thisUpdate = new Date(Math.floor(Date.now() / 1000) * 1000);
  const fields = {
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: made.subjectDer, thisUpdate, nextUpdate: new Date(thisUpdate.getTime() + 30 * day), number: 7n,
    authorityKeyIdentifier: made.keyId, entries: [],
  } as const;
  const tbs = buildCrlTbs(fields);
  const crl = assembleCrl(tbs, 'ecdsa-sha256', made.sign(tbs));
  const { number, nextUpdate } = fields;
  await store.crls.adopt({ caId: ca.id, number, thisUpdate, nextUpdate, der: crl }, 0, {
    ...event('crl.imported', `ca:${ca.name}`), data: { number: String(number), sha256: Buffer.from(sha256(crl)).toString('hex') },
  });
}

