import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { CaSigner, CertificationAuthority, FilterLedger, KnownSerial, StoredFilter } from '@fleetroot/authority';
import type { AuditEvent } from '@fleetroot/audit';
import { caName, systemRandom } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { describe, expect, it } from 'vitest';
import { certify, named } from '../../../../test/support/software-ca.ts';
import { publishFilter } from '../src/publish.ts';
import { FilterFile, RevocationFilter } from '../src/reader.ts';

const at = new Date('2026-11-23T12:00:00Z');
const keys = {
  p256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), p384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }), p521: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }), ed25519: () => generateKeyPairSync('ed25519'),
};

class MemoryLedger implements FilterLedger {
  readonly rows: StoredFilter[] = [];
  readonly events: AuditEvent[] = [];
  serials: KnownSerial[] = [];
  newestFull = async (): Promise<StoredFilter | undefined> => this.rows.findLast(({ baseVersion, content }) => baseVersion === 0n && content.length > 0);
  nextVersion = async (_caId: number, now: Date): Promise<bigint> => {
    const [last, drawn] = [this.rows.at(-1)?.version ?? 0n, BigInt(now.getTime())];
    return drawn > last ? drawn : last + 1n;
  };
  read: FilterLedger['read'] = (_caId, work) => {
    const { serials } = this;
    return work({ at, coveredUntil: 1000, async *pages() { yield serials; } });
  };
  reserve = async (filter: StoredFilter): Promise<boolean> => {
    if (this.rows.some(({ version }) => version >= filter.version)) return false;
    this.rows.push(filter);
    return true;
  };
  publish = async (filter: StoredFilter, event: AuditEvent): Promise<boolean> => {
    this.rows[this.rows.findIndex(({ version }) => version === filter.version)] = filter;
    this.events.push(event);
    return true;
  };
  ask = async (): Promise<void> => undefined;
  madeAt = async (): Promise<Map<number, Date>> => new Map();
}

function signWith(algorithm: SignatureAlgorithm, key: KeyObject, tbs: Uint8Array): Uint8Array {
  const digest = algorithm === 'ed25519' ? null : algorithm.slice(algorithm.lastIndexOf('-') + 1);
  return new Uint8Array(sign(digest, tbs, algorithm.startsWith('rsa-pss')
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : key));
}

function authorityOf(algorithm: SignatureAlgorithm, keyName: keyof typeof keys) {
  const key = keys[keyName]();
  const made = certify({ subject: named('ca'), key });
  const authority = { id: 1, name: caName('ca'), state: 'active', keyId: new Uint8Array(1), certificate: made.certificate, signatureAlgorithm: algorithm } as unknown as CertificationAuthority;
  const signer: CaSigner = { ready: async () => undefined, sign: async (_ca, tbs) => tbs.map((one) => signWith(algorithm, key.privateKey, one)) };
  return { authority, signer, spki: made.spkiDer };
}

const serial = (place: number, revoked: boolean): KnownSerial => ({ serial: Uint8Array.of(1, place >> 8, place & 0xff), notBefore: 500, revoked });

describe('a filter', () => {
  it.each<[SignatureAlgorithm, keyof typeof keys]>([
    ['ecdsa-sha256', 'p256'], ['ecdsa-sha384', 'p384'], ['ecdsa-sha512', 'p521'], ['ed25519', 'ed25519'],
    ['rsa-sha256', 'rsa'], ['rsa-sha384', 'rsa'], ['rsa-sha512', 'rsa'], ['rsa-pss-sha256', 'rsa'], ['rsa-pss-sha384', 'rsa'], ['rsa-pss-sha512', 'rsa'],
  ])('is signed by %s (%s), and read', async (algorithm, keyName) => {
    const { authority, signer, spki } = authorityOf(algorithm, keyName);
    const filters = new MemoryLedger();
    filters.serials = Array.from({ length: 2000 }, (_, place) => serial(place, place % 5 === 0));
    const parts = { filters, authority, signer, clock: { now: () => at }, random: systemRandom, lifetimeMs: 60_000 };
    const full = await publishFilter(parts);
    filters.serials = filters.serials.map((one, place) => ({ ...one, revoked: place % 5 === 0 || place === 7 }));
    const delta = await publishFilter(parts);
    expect([full?.baseVersion, delta?.baseVersion, delta?.version]).toEqual([0n, full?.version, (full?.version ?? 0n) + 1n]);
    const filter = new RevocationFilter(new FilterFile(full!.content, spki), new FilterFile(delta!.content, spki));
    expect(filter.version).toBe(delta?.version);
    const issuer = createHash('sha256').update(spki).digest();
    for (const one of filters.serials) expect(filter.status({ issuer, serial: one.serial, notBefore: new Date(500_000) }, at)).toBe(one.revoked ? 'revoked' : 'not-revoked');
    expect(filter.status({ issuer, serial: Uint8Array.of(1), notBefore: new Date(1_001_000) }, at)).toBe('not-covered');
    expect(filters.events).toMatchObject([{ action: 'filter.published', data: { known: 2000, revoked: 400, base: '0' } }, { data: { revoked: 401 } }]);
    // The signature is over the whole header.
    for (const place of [4, 10, 47, 71, 79, 100, 120, 150, 170, 199, 202, 210]) {
      const changed = Buffer.from(full!.content);
      changed[place]! ^= 1;
      expect(() => new FilterFile(changed, spki), `octet ${place}`).toThrow();
    }
  });

  it('is not made of a CA whose key is elsewhere', async () => {
    const { authority, signer } = authorityOf('ecdsa-sha256', 'p256');
    await expect(publishFilter({ filters: new MemoryLedger(), authority: { ...authority, keyId: undefined }, signer, clock: { now: () => at }, random: systemRandom, lifetimeMs: 1 }))
      .rejects.toMatchObject({ code: 'ca.not-active' });
  });
});
