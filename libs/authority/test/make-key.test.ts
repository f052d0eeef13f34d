import { createPrivateKey, createPublicKey } from 'node:crypto';
import { makeKey, type MadeKeyType, madeKeyTypes } from '@fleetroot/authority';
import { parseRequest, spkiSha256, verifyPossession } from '@fleetroot/x509';
import { describe, expect, it, test } from 'vitest';

const facts: Record<MadeKeyType, object> = {
  'p-256': { keyType: 'p-256' }, 'p-384': { keyType: 'p-384' }, 'p-521': { keyType: 'p-521' }, ed25519: { keyType: 'ed25519' },
  'rsa-3072': { keyType: 'rsa', bits: 3072 },
};

describe('a key that is made', () => {
  test.each(madeKeyTypes)('%s signs a request without names, and is what its receiver gets', async (type) => {
    let sealed: Uint8Array | undefined;
    const { csr, spkiSha256: hash, envelope } = await makeKey(type, (pkcs8) => {
      sealed = pkcs8;
      return Buffer.from(pkcs8);
    });
    const request = parseRequest(csr);
    verifyPossession(request);
    expect(request.key).toMatchObject(facts[type]);
    expect([request.subjectDer, request.subjectAltNames]).toEqual([Uint8Array.of(0x30, 0), []]);
    expect(hash).toEqual(spkiSha256(request.spkiDer));
    const key = createPrivateKey({ key: Buffer.from(envelope), format: 'der', type: 'pkcs8' });
    expect(Buffer.from(request.spkiDer).equals(createPublicKey(key).export({ type: 'spki', format: 'der' }))).toBe(true);
    // What was given to be sealed is overwritten.
    expect(sealed?.every((octet) => octet === 0)).toBe(true);
  });

  it('is overwritten where sealing fails, too', async () => {
    let sealed: Uint8Array | undefined;
    await expect(makeKey('p-256', (pkcs8) => {
      sealed = pkcs8;
      throw new Error('no receiver');
    })).rejects.toThrow('no receiver');
    expect(sealed?.every((octet) => octet === 0)).toBe(true);
  });
});
