import { hash } from 'node:crypto';
import { type CaSigner, type CertificationAuthority, type FilterLedger, type KnownSerials, signatureAlgorithmOf, signsStatus, type StoredFilter } from '@fleetroot/authority';
import { type Clock, concatBytes, crashPoint, PkiError, type RandomBytes, toHex } from '@fleetroot/core';
import { parseCertificate, verifySignature } from '@fleetroot/x509';
import { buildTables } from './build.ts';
import { encodeHeader } from './header.ts';
import { FilterError, FilterFile, type FilterHeader, SerialHash } from './reader.ts';
import { rawEcdsaSignature } from './signature.ts';
import { Spool } from './spool.ts';

export interface FilterPublication {
  readonly filters: FilterLedger;
  readonly authority: CertificationAuthority;
  readonly signer: CaSigner;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** nextUpdate minus madeAt, in milliseconds. */
  readonly lifetimeMs: number;
  /** Is waited for every tenth of a second or so of work: an issuer has more to do. The default lets the event loop turn. */
  readonly pause?: () => Promise<void>;
}

/** After so long a full filter takes the place of one more delta, in milliseconds. */
const FULL_AFTER_MS = 7 * 86_400_000;
/** So also where the delta would have more than this part of the octets of its base. */
const LARGEST_DELTA = 0.5;
/** Another publisher may have been faster; so often is enough for any of them to win. */
const ATTEMPTS = 3;

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/**
 * Publishes what vehicles need to know of all certificates of a CA: a delta of the full filter before, or, each week and
 * where a delta would save too little, a new full filter. Its version is drawn before the ledger is read and put on record
 * before it is signed; it is read back from its own octets, signature and all, before it is published. Durable on return.
 * undefined: others have published meanwhile what this one would have.
 * @throws PkiError `ca.not-active` for a CA that signs nothing here, `clock.skew`, `hsm.*`, `store.unavailable`
 */
export async function publishFilter(publication: FilterPublication): Promise<StoredFilter | undefined> {
  const { authority, filters, signer, clock } = publication;
  if (!signsStatus(authority)) throw new PkiError('ca.not-active', `the CA ${authority.name} signs nothing here: it has no filter`);
  await signer.ready(authority);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const version = await filters.nextVersion(authority.id, clock.now());
    const unsigned = await build(publication, version);
    const signed = encodeHeader(unsigned.header);
    const reserved: StoredFilter = {
      caId: authority.id, version, baseVersion: unsigned.header.baseVersion, madeAt: unsigned.madeAt, known: unsigned.header.known,
      revoked: unsigned.header.revoked, signedSha256: hash('sha256', signed, 'buffer'), content: new Uint8Array(0),
    };
    if (!await filters.reserve(reserved)) continue;
    crashPoint('filter.reserved');
    const content = await sign(publication, signed, unsigned.body);
    crashPoint('filter.signed');
    const filter = { ...reserved, content };
    return await publish(publication, filter) ? filter : undefined;
  }
  return undefined;
}

interface Unsigned {
  readonly header: FilterHeader;
  readonly body: Uint8Array;
  readonly madeAt: Date;
}

async function build(publication: FilterPublication, version: bigint): Promise<Unsigned> {
  const { authority, filters, clock } = publication;
  const spki = parseCertificate(authority.certificate).spkiDer;
  const base = openBase(await filters.newestFull(authority.id), spki);
  return filters.read(authority.id, async (known) => {
    if (base !== undefined && clock.now().getTime() - base.header.madeAt * 1000 < FULL_AFTER_MS) {
      const delta = await buildOne(publication, version, known, spki, base);
      if (delta.body.length <= base.header.bodyOctets * LARGEST_DELTA || delta.header.marked === 0) return delta;
    }
    return buildOne(publication, version, known, spki, undefined);
  });
}

/** One that does not read any more has no deltas: a full filter follows. */
function openBase(stored: StoredFilter | undefined, spki: Uint8Array): FilterFile | undefined {
  try {
    return stored === undefined ? undefined : new FilterFile(stored.content, spki);
  } catch (error) {
    if (error instanceof FilterError) return undefined;
    throw error;
  }
}

/**
 * A delta marks what differs from its base: of certificates that the base covers those that became revoked, or good again,
 * and of later ones the revoked. What the base says is asked of the base itself: so the two are right together, whatever
 * was wrong with the ledger when the base was made.
 */
async function buildOne(
  { authority, clock, random, lifetimeMs, pause = turn }: FilterPublication, version: bigint, known: KnownSerials, spki: Uint8Array, base: FilterFile | undefined,
): Promise<Unsigned> {
  const key = base?.header.key ?? random(16);
  const serialHash = new SerialHash(key);
  const spool = new Spool();
  let revoked = 0;
  try {
    for await (const page of known.pages()) {
      for (const row of page) {
        const words = serialHash.of(row.serial);
        if (row.revoked) revoked++;
        const before = base !== undefined && row.notBefore <= base.header.coveredUntil && base.marks.has(words);
        spool.add(serialHash, before !== row.revoked);
      }
      await pause();
    }
    const tables = await buildTables(spool, random, pause);
    const madeAt = clock.now();
    const seconds = Math.floor(madeAt.getTime() / 1000);
    return {
      madeAt, body: tables.body,
      header: {
        kind: base === undefined ? 'full' : 'delta', algorithm: signatureAlgorithmOf(authority), fingerprintBits: tables.fingerprintBits,
        ca: hash('sha256', spki, 'buffer'), version, baseVersion: base?.header.version ?? 0n, madeAt: seconds,
        // What the base covers is known by now, however late an open attempt lets us speak of more.
        coveredUntil: Math.max(known.coveredUntil, base?.header.coveredUntil ?? 0), nextUpdate: seconds + Math.max(1, Math.floor(lifetimeMs / 1000)),
        known: spool.all, revoked, marked: spool.marked, baseCoveredUntil: base?.header.coveredUntil ?? 0, key, blockBits: tables.blockBits,
        bodyOctets: tables.body.length, bodySha256: hash('sha256', tables.body, 'buffer'), baseSha256: base?.headerSha256 ?? new Uint8Array(32),
      },
    };
  } finally {
    spool.close();
  }
}

async function sign({ authority, signer }: FilterPublication, header: Uint8Array, body: Uint8Array): Promise<Uint8Array> {
  const { spkiDer } = parseCertificate(authority.certificate);
  const algorithm = signatureAlgorithmOf(authority);
  const [signature, ...more] = await signer.sign(authority, [header], 'crl');
  if (signature === undefined || more.length > 0 || !verifySignature(spkiDer, algorithm, header, signature)) {
    throw new PkiError('hsm.signature-invalid', `the signature of a filter of ${authority.name} does not verify under the CA's certificate`);
  }
  const plain = algorithm.startsWith('ecdsa') ? rawEcdsaSignature(signature, spkiDer) : signature;
  const content = concatBytes(header, Uint8Array.of(plain.length >> 8, plain.length & 0xff), plain, body);
  try {
    // As a vehicle will read it.
    void new FilterFile(content, spkiDer);
  } catch (cause) {
    throw new PkiError('internal', `a filter of ${authority.name} does not read as it was built: it was not published`, { cause });
  }
  return content;
}

function publish({ authority, clock, filters }: FilterPublication, filter: StoredFilter): Promise<boolean> {
  const { version, baseVersion, known, revoked, content } = filter;
  return filters.publish(filter, {
    action: 'filter.published', actor: 'system:issuer', at: clock.now(), subject: `ca:${authority.name}`,
    data: { version: String(version), base: String(baseVersion), known, revoked, octets: content.length, sha256: toHex(hash('sha256', content, 'buffer')) },
  });
}
