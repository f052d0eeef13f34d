import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type CaSigner, type CertificationAuthority, Issuance, type IssuanceLedger, type ItemResult, profileDocument, publishCrl,
  readProfileFolder, type RequestItem,
} from '@fleetroot/authority';
import { type Clock, ecuSerial, LedgerKey, partNumber, PkiError, type Serial, systemClock, systemRandom, toHex } from '@fleetroot/core';
import { encodePem, parseCertificate, parseCrl, parseRequest, readRequest } from '@fleetroot/x509';
import { openStore, type Store } from '@fleetroot/store';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type HsmCa, makeHsmCa } from '../support/hsm-ca.ts';
import { openssl } from '../support/openssl.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';

const corpus = fileURLToPath(new URL('../corpus/csr', import.meta.url));
const profiles = readProfileFolder(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.example' });
const ledgerKey = new LedgerKey(new Uint8Array(32).fill(3));

let token: TestToken;
let postgres: TestPostgres;
let store: Store;
let ca: HsmCa;
let authority: CertificationAuthority;
let principalId: number;
let caFile: string;
let ecus = 0;

beforeAll(async () => {
  [token, postgres] = await Promise.all([makeToken(), startTestPostgres()]);
  ca = await makeHsmCa(token);
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey, pool: 4 });
  const event = (action: 'ca.imported' | 'principal.created') => ({ action, actor: 'system:test', at: new Date(), subject: 'test', data: {} });
  authority = await store.authorities.add(ca.authority, event('ca.imported'));
  principalId = (await store.principals.put('line', ['line'], new Uint8Array(32).fill(1), undefined, event('principal.created'))).id;
  caFile = join(token.dir, 'ca.pem');
  writeFileSync(caFile, encodePem('CERTIFICATE', authority.certificate));
});

afterAll(async () => {
  await store?.close();
  await ca?.close();
  await postgres?.stop();
  await token?.remove();
});

interface Submitted {
  readonly batchId: string;
  readonly chunkId: bigint;
}

/** One batch of one chunk, as the api would leave it. */
async function submit(csrs: readonly Uint8Array[], profileName = 'ecu-client', known: Partial<RequestItem> = {}): Promise<Submitted> {
  const profile = profiles.get(profileName);
  if (profile === undefined) throw new Error(profileName);
  const version = await store.profiles.ensure(profile.name, profileDocument(profile));
  const begun = await store.batches.begin({ principalId, idempotencyKey: undefined, caId: authority.id, profileVersionId: version.id, priority: 10, purpose: 'line' });
  if (begun.kind !== 'new') throw new Error('not new');
  const isEcu = profile.requires.includes('ecuSerial');
  await store.batches.append(begun.batchId, csrs.map((csr, ordinal) => ({
    ordinal, csr, ...(isEcu ? { ecuSerial: ecuSerial(`ECU-${++ecus}`), partNumber: partNumber('P-1') } : {}), ...known,
  })), []);
  await store.batches.accept(begun.batchId, new Uint8Array(32), { action: 'batch.accepted', actor: 'system:test', at: new Date(), subject: `batch:${begun.batchId}`, data: {} });
  const rows = await store.outbox.pending(1000);
  await store.outbox.remove(rows.map(({ id }) => id));
  const payload = rows.findLast(({ job }) => job === 'issue-chunk')?.payload as { chunkId: string } | undefined;
  return { batchId: begun.batchId, chunkId: BigInt(payload?.chunkId ?? 'no job') };
}

interface Changes {
  readonly signer?: CaSigner;
  readonly ledger?: Partial<IssuanceLedger>;
  readonly clock?: Clock;
  readonly staleAfterMs?: number;
}

function issuance({ signer = ca.signer, ledger = {}, clock = systemClock, staleAfterMs = 30_000 }: Changes = {}): Issuance {
  const real = store.issuance;
  const changed: IssuanceLedger = {
    claim: real.claim.bind(real), recordIntent: real.recordIntent.bind(real), complete: real.complete.bind(real),
    release: real.release.bind(real), renew: real.renew.bind(real), claimFreshSingle: real.claimFreshSingle.bind(real),
    claimSingle: real.claimSingle.bind(real), onSingle: real.onSingle.bind(real), ...ledger,
  };
  return new Issuance({
    ledger: changed, authorities: store.authorities, profiles: store.profiles, signer, ledgerKey, clock, random: systemRandom, staleAfterMs,
    // What a failure leaves behind is looked at before the chunk is taken again.
    patienceMs: 0,
  });
}

async function results({ batchId }: Submitted): Promise<ItemResult[]> {
  const all: ItemResult[] = [];
  for await (const result of store.batches.results(batchId, 0, AbortSignal.timeout(5000))) all.push(result);
  return all;
}

const read = (kind: 'good' | 'bad', name: string): Uint8Array => readFileSync(join(corpus, kind, name));
const good = (name: string): Uint8Array => readRequest(name.endsWith('.der') ? read('good', name) : read('good', name).toString()).der;
const serialsIn = (messages: readonly Uint8Array[]): string[] => messages.map((tbs) => {
  // TBSCertificate: SEQUENCE, [0] version, INTEGER serial.
  const at = (tbs[1] ?? 0) === 0x82 ? 4 : 3;
  return toHex(tbs.subarray(at + 7, at + 7 + (tbs[at + 6] ?? 0)));
});

describe('requests of seven other programs', () => {
  const names = readdirSync(join(corpus, 'good'));
  let issued: ItemResult[];

  beforeAll(async () => {
    const submitted = await submit(names.map(good));
    expect(await issuance().issueChunk(submitted.chunkId)).toBe('done');
    issued = await results(submitted);
  });

  it('are all issued, in the order of the requests', () => {
    expect(issued.map((item) => (item.outcome === 'issued' ? 'issued' : item.detail))).toEqual(names.map(() => 'issued'));
    expect(issued.map(({ ordinal }) => ordinal)).toEqual(names.map((_, i) => i));
  });

  it.each(names.map((name, i) => [name, i] as const))('%s: its key, byte for byte, and openssl accepts it', (name, i) => {
    const item = issued[i];
    if (item?.outcome !== 'issued') throw new Error('not issued');
    const parsed = parseCertificate(item.certificate);
    expect(toHex(parsed.spkiDer)).toBe(toHex(parseRequest(good(name)).spkiDer));
    expect(parsed).toMatchObject({ isCa: false, keyUsage: ['digitalSignature'], extendedKeyUsage: ['clientAuth'], subjectAltNames: [] });
    const file = join(token.dir, 'leaf.pem');
    writeFileSync(file, encodePem('CERTIFICATE', item.certificate));
    expect(openssl(['verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', caFile, file])).toContain(': OK');
  });
});

describe('requests that are no good', () => {
  const expected: Record<string, string> = {
    'asks-to-be-a-ca.der': 'request.ca-requested', 'ber-indefinite-length.der': 'request.malformed', 'ber-non-minimal-length.der': 'request.malformed',
    'certificate-not-request.pem': 'request.pem-label', 'ec-explicit-parameters.der': 'request.key-refused', 'ec-p224.der': 'request.key-refused',
    'ec-secp256k1.der': 'request.key-refused', 'empty.der': 'request.empty', 'length-claims-4gb.der': 'request.malformed',
    'md5-signature.der': 'request.signature-algorithm-refused', 'nested-sequences-10k.der': 'request.malformed', 'null-bytes-64k.der': 'request.malformed',
    'pem-bad-base64.pem': 'request.pem-invalid', 'pem-two-requests.pem': 'request.pem-count', 'random-4k.der': 'request.malformed',
    'rsa-1024.der': 'request.key-refused', 'rsa-exponent-3.der': 'request.key-refused', 'sha1-signature.der': 'request.signature-algorithm-refused',
    'signature-bit-flipped.der': 'request.signature-invalid', 'subject-bit-flipped.der': 'request.signature-invalid',
    'trailing-garbage.der': 'request.trailing-bytes', 'truncated-half.der': 'request.malformed', 'truncated-last-byte.der': 'request.malformed',
    'wrong-pem-label.pem': 'request.pem-label',
  };
  const names = readdirSync(join(corpus, 'bad'));

  it('are all accounted for', () => expect(names.toSorted()).toEqual(Object.keys(expected).toSorted()));

  it('fail one by one, each for its own cause, even where the api would have let them through', async () => {
    const inner = names.filter((name) => name.endsWith('.der'));
    const before = ca.signer.signed.length;
    const submitted = await submit([...inner.map((name) => read('bad', name)), good('openssl-p256.der')]);
    expect(await issuance().issueChunk(submitted.chunkId)).toBe('done');
    const outcome = await results(submitted);
    expect(Object.fromEntries(inner.map((name, i) => {
      const item = outcome[i];
      return [name, item?.outcome === 'failed' ? item.code : item?.outcome];
    }))).toEqual(Object.fromEntries(inner.map((name) => [name, expected[name]])));
    expect(outcome.at(-1)).toMatchObject({ outcome: 'failed', code: 'key.other-ecu' });
    expect(ca.signer.signed).toHaveLength(before);
    expect(await store.batches.progress(submitted.batchId)).toMatchObject({ state: 'done', issued: 0, failed: inner.length + 1, pending: 0 });
  });

  test.each(names.filter((name) => name.endsWith('.pem')))('%s is refused before it is a request', (name) => {
    expect(() => readRequest(read('bad', name).toString())).toThrow(expect.objectContaining({ code: expected[name] }));
  });
});

/** Fresh requests, for tests in which a key must not be known yet. */
function freshRequests(count: number, san?: string): Uint8Array[] {
  return Array.from({ length: count }, () => readRequest(openssl([
    'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null', '-subj', '/CN=x',
    ...(san === undefined ? [] : ['-addext', `subjectAltName=${san}`]),
  ])).der);
}

async function burnedSerials(): Promise<string[]> {
  const serials: string[] = [];
  for await (const { serial } of store.crls.entries(authority.id)) serials.push(toHex(serial));
  return serials;
}

describe('a crash', () => {
  test.each<[string, (submitted: Submitted) => Changes, boolean]>([
    ['the HSM signs and its answer is lost', () => ({
      signer: { ...ca.signer, sign: async (of, tbs, purpose) => { await ca.signer.sign(of, tbs, purpose); throw new PkiError('hsm.deadline'); } },
    }), true],
    ['the store fails after the signatures', () => ({ ledger: { complete: async () => { throw new PkiError('store.unavailable'); } } }), true],
    ['the process dies after the signatures', () => ({
      ledger: { complete: async () => { throw new PkiError('store.unavailable'); }, release: async () => { throw new PkiError('store.unavailable'); } },
    }), false],
    ['the process dies after the intent', () => ({
      signer: { ...ca.signer, sign: async () => { throw new PkiError('hsm.unavailable'); } },
      ledger: { release: async () => { throw new PkiError('store.unavailable'); } },
    }), false],
  ])('when %s: the serials are burned, and the retry issues by new ones (I8)', async (_what, changes, givenBack) => {
    const submitted = await submit(freshRequests(3));
    const before = ca.signer.signed.length;
    await expect(issuance(changes(submitted)).issueChunk(submitted.chunkId)).rejects.toMatchObject({ retry: 'later' });
    const first = serialsIn(ca.signer.signed.slice(before));
    expect(await store.batches.progress(submitted.batchId)).toMatchObject({ issued: 0, pending: 3 });

    if (!givenBack) {
      // Nobody gave it back: it is held until the silence is long enough.
      expect(await issuance().issueChunk(submitted.chunkId)).toBe('held');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const after = ca.signer.signed.length;
    expect(await issuance({ staleAfterMs: givenBack ? 30_000 : 10 }).issueChunk(submitted.chunkId)).toBe('done');
    const second = serialsIn(ca.signer.signed.slice(after));
    expect(second).toHaveLength(3);
    const burned = await burnedSerials();
    for (const serial of first) expect(burned).toContain(serial);
    for (const serial of second) expect([...burned, ...first]).not.toContain(serial);
    const stored = (await results(submitted)).map((item) => (item.outcome === 'issued' ? toHex(parseCertificate(item.certificate).serial) : item.code));
    expect(stored).toEqual(second);
  });

  it('after the commit loses nothing: the chunk is done, and a second delivery changes nothing (I21)', async () => {
    const submitted = await submit(freshRequests(2));
    const real = store.issuance;
    const lostAnswer = issuance({ ledger: { complete: async (...args) => { await real.complete(...args); throw new PkiError('store.unavailable'); } } });
    await expect(lostAnswer.issueChunk(submitted.chunkId)).rejects.toMatchObject({ code: 'store.unavailable' });
    const before = await results(submitted);
    const signed = ca.signer.signed.length;
    expect(await issuance().issueChunk(submitted.chunkId)).toBe('held');
    expect(ca.signer.signed).toHaveLength(signed);
    expect(await results(submitted)).toEqual(before);
    expect(before.map(({ outcome }) => outcome)).toEqual(['issued', 'issued']);
    const burned = await burnedSerials();
    for (const item of before) expect(burned).not.toContain(item.outcome === 'issued' ? toHex(parseCertificate(item.certificate).serial) : '');
  });
});

describe('many at once', () => {
  it('ten deliveries of one chunk have one effect (I21)', async () => {
    const submitted = await submit(freshRequests(3));
    const before = ca.signer.signed.length;
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => issuance().issueChunk(submitted.chunkId)));
    expect(outcomes.toSorted()).toEqual(['done', ...Array.from({ length: 9 }, () => 'held')]);
    expect(ca.signer.signed).toHaveLength(before + 3);
  });

  it('a slow issuer whose chunk was taken over stores nothing', async () => {
    const submitted = await submit(freshRequests(1));
    let overtaken: Promise<'done' | 'held'> | undefined;
    const slow = issuance({
      signer: {
        ...ca.signer,
        sign: async (of, tbs, purpose) => {
          const signatures = await ca.signer.sign(of, tbs, purpose);
          await new Promise((resolve) => setTimeout(resolve, 30));
          overtaken = issuance({ staleAfterMs: 10 }).issueChunk(submitted.chunkId);
          await overtaken;
          return signatures;
        },
      },
    });
    const before = ca.signer.signed.length;
    expect(await slow.issueChunk(submitted.chunkId)).toBe('held');
    expect(await overtaken).toBe('done');
    const [lost = '', kept = ''] = serialsIn(ca.signer.signed.slice(before));
    const [stored] = await results(submitted);
    expect(stored?.outcome === 'issued' ? toHex(parseCertificate(stored.certificate).serial) : '').toBe(kept);
    expect(await burnedSerials()).toContain(lost);
  });

  it('the same key under two ECUs of one chunk goes to the first alone', async () => {
    const [csr] = freshRequests(1) as [Uint8Array];
    const submitted = await submit([csr, csr]);
    await issuance().issueChunk(submitted.chunkId);
    expect((await results(submitted)).map((item) => (item.outcome === 'issued' ? 'issued' : item.code))).toEqual(['issued', 'key.other-ecu']);
  });
});

describe('other profiles', () => {
  it('a server gets its names, and openssl accepts it for them', async () => {
    const submitted = await submit(freshRequests(1, 'DNS:gateway.example,DNS:b.example'), 'gateway-server');
    await issuance().issueChunk(submitted.chunkId);
    const [item] = await results(submitted);
    if (item?.outcome !== 'issued') throw new Error(item?.detail);
    const file = join(token.dir, 'server.pem');
    writeFileSync(file, encodePem('CERTIFICATE', item.certificate));
    for (const name of ['gateway.example', 'b.example']) {
      expect(openssl(['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', name, '-CAfile', caFile, file])).toContain(': OK');
    }
  });

  it('an OCSP signer is short-lived, unchecked and for OCSP alone (I19)', async () => {
    const submitted = await submit(freshRequests(1), 'ocsp-signer');
    await issuance().issueChunk(submitted.chunkId);
    const [item] = await results(submitted);
    if (item?.outcome !== 'issued') throw new Error(item?.detail);
    const parsed = parseCertificate(item.certificate);
    expect(parsed).toMatchObject({ extendedKeyUsage: ['OCSPSigning'], isCa: false, ocspUrls: [], crlUrls: [] });
    expect(parsed.extensions.some(({ oid }) => oid === '1.3.6.1.5.5.7.48.1.5')).toBe(true);
    expect(parsed.notAfter.getTime() - parsed.notBefore.getTime()).toBe(7 * 86_400_000 - 1000);
  });
});

describe('time', () => {
  test.each([['an hour ahead', 3_600_000], ['an hour behind', -3_600_000], ['400 days ahead', 400 * 86_400_000], ['400 days behind', -400 * 86_400_000], ['20 years ahead', 20 * 365 * 86_400_000]])(
    'a clock %s signs nothing and fails no item (I24)', async (_what, offset) => {
      const submitted = await submit(freshRequests(1));
      const before = ca.signer.signed.length;
      await expect(issuance({ clock: { now: () => new Date(Date.now() + offset) } }).issueChunk(submitted.chunkId)).rejects.toMatchObject({ code: 'clock.skew' });
      expect(ca.signer.signed).toHaveLength(before);
      expect(await store.batches.progress(submitted.batchId)).toMatchObject({ pending: 1, failed: 0 });
      expect(await issuance().issueChunk(submitted.chunkId)).toBe('done');
    });
});

describe('the CRL', () => {
  const publish = () => publishCrl({ crls: store.crls, authority, signer: ca.signer, clock: systemClock, lifetimeMs: 3_600_000 });
  const crlFile = () => join(token.dir, 'crl.pem');

  it('lists what was burned and what is revoked, and openssl accepts it', async () => {
    const submitted = await submit(freshRequests(2));
    await issuance().issueChunk(submitted.chunkId);
    const [revoked, kept] = (await results(submitted)).map((item) => (item.outcome === 'issued' ? item.certificate : new Uint8Array(0))) as [Uint8Array, Uint8Array];
    const serial = toHex(parseCertificate(revoked).serial) as Serial;
    await store.revocations.revoke({ serial, ca: authority.name, reason: 'keyCompromise', revokedAt: new Date(), principalId }, {
      action: 'certificate.revoked', actor: 'system:test', at: new Date(), subject: `certificate:${authority.name}/${serial}`, data: {},
    });
    const burned = await burnedSerials();
    const crl = await publish();
    const latest = await store.crls.latest(authority.id);
    expect([latest?.number, toHex(latest?.der ?? new Uint8Array())]).toEqual([crl.number, toHex(crl.der)]);
    const parsed = parseCrl(crl.der);
    expect(parsed.entries.get(serial)).toMatchObject({ reason: 1 });
    expect([...parsed.entries].map(([hex]) => hex).toSorted()).toEqual([...new Set([...burned, serial])].toSorted());

    writeFileSync(crlFile(), encodePem('X509 CRL', crl.der));
    expect(openssl(['crl', '-in', crlFile(), '-CAfile', caFile, '-noout', '-text'])).toContain('Version 2');
    const check = (certificate: Uint8Array) => {
      const file = join(token.dir, 'checked.pem');
      writeFileSync(file, encodePem('CERTIFICATE', certificate));
      return openssl(['verify', '-crl_check', '-CAfile', caFile, '-CRLfile', crlFile(), file]);
    };
    expect(check(kept)).toContain(': OK');
    expect(() => check(revoked)).toThrow(/certificate revoked/);
  });

  it('twenty runs at once leave one chain of growing numbers, the highest published (I13)', async () => {
    const before = (await store.crls.latest(authority.id))?.number ?? 0n;
    const published = await Promise.all(Array.from({ length: 20 }, publish));
    const latest = await store.crls.latest(authority.id);
    expect(latest?.number).toBe(published.map(({ number }) => number).reduce((a, b) => (a > b ? a : b)));
    expect(latest?.number ?? 0n).toBeGreaterThan(before);
    expect(parseCrl(latest?.der ?? new Uint8Array()).number).toBe(latest?.number);
  });
});
