import type { AuditEvent } from '@fleetroot/audit';
import { describe, expect, it } from 'vitest';
import { certify, named } from '../../../test/support/software-ca.ts';
import { followCas, publishTruststore, type TruststoreCa, type TruststoreLedger, truststorePem, type TruststoreVersion } from '../src/index.ts';

const by = { actor: 'principal:ada', at: new Date('2026-11-22T12:00:00Z') };
const certificates = [1, 2, 3].map((id) => certify({ subject: named(`CA ${id}`) }).certificate);
const ca = (id: number, more: Partial<TruststoreCa> = {}): TruststoreCa => ({
  id, name: `ca-${id}`, certificate: certificates[id - 1] ?? new Uint8Array(), successorId: undefined, trusted: true, ...more,
});

/** One truststore by the rules of the port; `faster` publishes before the next `publish` looks. */
class MemoryTruststores implements TruststoreLedger {
  events: AuditEvent[] = [];
  faster: (() => void) | undefined;
  version: TruststoreVersion;

  constructor(cas: readonly TruststoreCa[]) {
    this.version = { truststore: 'ecu', version: 1, caIds: cas.map(({ id }) => id), sha256: new Uint8Array(32), pem: truststorePem(cas), createdAt: by.at };
  }

  async names(): Promise<readonly string[]> {
    return ['ecu'];
  }

  async current(): Promise<TruststoreVersion> {
    return this.version;
  }

  async publish(...[, , caIds, pem, event, basedOn]: Parameters<TruststoreLedger['publish']>): Promise<TruststoreVersion> {
    const { faster } = this;
    this.faster = undefined;
    faster?.();
    if (pem === this.version.pem || (basedOn !== undefined && basedOn !== this.version.version)) return this.version;
    this.version = { ...this.version, version: this.version.version + 1, caIds, pem };
    this.events.push(event(this.version.version));
    return this.version;
  }
}

describe('a truststore that follows its CAs', () => {
  it('changes nothing where nothing has changed', async () => {
    const cas = [ca(1), ca(2)];
    const ledger = new MemoryTruststores(cas);
    expect(await followCas(ledger, 'ecu', cas, by)).toBeUndefined();
    expect(ledger.events).toEqual([]);
  });

  it('says what came and what went', async () => {
    const ledger = new MemoryTruststores([ca(1), ca(2)]);
    const change = await followCas(ledger, 'ecu', [ca(1, { successorId: 3 }), ca(2, { trusted: false }), ca(3)], by);
    expect(change).toMatchObject({ members: ['ca-1', 'ca-3'], added: ['ca-3'], removed: ['ca-2'], version: { version: 2, caIds: [1, 3] } });
    expect(ledger.events).toMatchObject([{ action: 'truststore.published', actor: by.actor, subject: 'truststore:ecu', data: { version: 2, removed: ['ca-2'] } }]);
  });

  it('begins again at the version of a publisher who was faster', async () => {
    const ledger = new MemoryTruststores([ca(1), ca(2)]);
    const cas = [ca(1), ca(2, { trusted: false }), ca(3)];
    ledger.faster = () => {
      ledger.version = { ...ledger.version, version: 2, caIds: [1, 2, 3], pem: truststorePem(cas) };
    };
    expect(await followCas(ledger, 'ecu', cas, by)).toMatchObject({ version: { version: 3, caIds: [1, 3] }, removed: ['ca-2'] });
  });

  it('is content where the faster one has done the same', async () => {
    const ledger = new MemoryTruststores([ca(1), ca(2)]);
    const cas = [ca(1), ca(2, { trusted: false })];
    ledger.faster = () => {
      ledger.version = { ...ledger.version, version: 2, caIds: [1], pem: truststorePem([ca(1)]) };
    };
    expect(await followCas(ledger, 'ecu', cas, by)).toBeUndefined();
    expect(ledger.version.version).toBe(2);
  });

  it('is composed of those who are trusted', async () => {
    const ledger = new MemoryTruststores([ca(1)]);
    const { version, members } = await publishTruststore(ledger, { name: 'ecu', description: 'new', memberIds: [2, 3] }, [ca(1), ca(2), ca(3, { trusted: false })], by);
    expect([version.caIds, members]).toEqual([[2], ['ca-2']]);
  });
});
