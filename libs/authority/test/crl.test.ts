import type { AuditEvent } from '@fleetroot/audit';
import { PkiError, toHex } from '@fleetroot/core';
import { parseCrl, verifySignature } from '@fleetroot/x509';
import { beforeEach, describe, expect, it, test } from 'vitest';
import {
  type CaState, type CrlHead, type CrlKind, type CrlLedger, type CrlPublication, type CrlScope, type CrlScopeFacts, type CrlSwap, type ListedEntry, type PublishedCrl,
  publishCrl, publishCrls, type RevokedEntry, type ScopeChanges, type WantedEntries,
} from '../src/index.ts';
import { testAuthority } from './support/authority.ts';

const ca = testAuthority();
const day = 86_400_000;
const t0 = new Date('2026-11-22T10:00:00.700Z');
const later = (ms: number) => new Date(t0.getTime() + ms);
const serial = (n: number) => Uint8Array.of(0x40, n);

interface Row extends RevokedEntry {
  readonly notAfter: Date;
  readonly changedAt: Date;
  readonly shard: number;
  readonly released?: boolean;
}

/** One CA's CRLs by the rules of the port; the real ledger is tested in test/integration. */
class MemoryCrls implements CrlLedger {
  rows: Row[] = [];
  published: PublishedCrl[] = [];
  reserved: bigint[] = [];
  events: AuditEvent[] = [];
  shards = 1;
  /** Runs after entries were read: what another process does in between. */
  meanwhile: () => Promise<void> = async () => undefined;
  hide: (row: Row) => boolean = () => false;

  async scopes(): Promise<readonly CrlScopeFacts[]> {
    return [{ scope: 'all', uris: [], since: new Date(0) }, ...(this.shards === 1 ? [] : await this.shardsOf(3, this.shards))];
  }

  async shardsOf(_caId: number, shards: number): Promise<readonly CrlScopeFacts[]> {
    return Array.from({ length: shards }, (_, shard) => ({ scope: `${shards}/${shard}` as const, uris: [`http://status.example/crl/ecu-issuing/${shards}/${shard}.crl`], since: new Date(0) }));
  }

  async heads(): Promise<readonly CrlHead[]> {
    const newest = new Map(this.published.map((crl) => [`${crl.scope} ${crl.kind}`, crl]));
    return [...newest.values()];
  }

  async changes(_caId: number, since: Date): Promise<readonly ScopeChanges[]> {
    const changed = this.rows.filter(({ changedAt }) => changedAt >= since);
    const of = (scope: CrlScope, rows: readonly Row[]): ScopeChanges[] => {
      const times = (some: readonly Row[]): Date => new Date(Math.max(...some.map(({ changedAt }) => changedAt.getTime())));
      const urgent = rows.filter(({ reason }) => reason === 1);
      return rows.length === 0 ? [] : [{ scope, count: rows.length, newestAt: times(rows), urgentAt: urgent.length === 0 ? undefined : times(urgent) }];
    };
    return [...of('all', changed), ...Array.from({ length: this.shards }, (_, shard) => of(`${this.shards}/${shard}`, changed.filter((one) => one.shard === shard))).flat()];
  }

  async reserve(_caId: number, thisUpdate: Date): Promise<bigint> {
    const previous = this.reserved.at(-1) ?? 0n;
    const number = previous + 1n > BigInt(thisUpdate.getTime()) ? previous + 1n : BigInt(thisUpdate.getTime());
    this.reserved.push(number);
    return number;
  }

  async *listed(_caId: number, { scopes, endingFrom, changedFrom }: WantedEntries): AsyncIterable<readonly ListedEntry[]> {
    yield this.rows
      .filter((row) => !this.hide(row) && row.notAfter >= endingFrom && row.changedAt >= (changedFrom ?? new Date(0)))
      .map((row): ListedEntry => ({
        ...row, shards: this.shards, revokedAt: row.revokedAt.getTime(), notAfter: row.notAfter.getTime(), changedAt: row.changedAt.getTime(),
        invalidityDate: row.invalidityDate?.getTime() ?? null, released: row.released ?? false,
      }))
      .sort((a, b) => (scopes === 'all' ? 0 : a.shard - b.shard) || Buffer.compare(a.serial, b.serial));
    await this.meanwhile();
  }

  entries(): AsyncIterable<RevokedEntry> {
    throw new Error('not here');
  }

  async expiries(_caId: number, serials: readonly Uint8Array[]): Promise<readonly (Date | undefined)[]> {
    return serials.map((wanted) => this.rows.find((row) => toHex(row.serial) === toHex(wanted) && row.released !== true)?.notAfter);
  }

  async publish(_caId: number, swaps: readonly CrlSwap[], event: (swapped: readonly PublishedCrl[]) => AuditEvent): Promise<readonly boolean[]> {
    const outcome: boolean[] = [];
    for (const { crl, after } of swaps) {
      const newest = (await this.latest(3, crl.scope, crl.kind))?.number;
      outcome.push(newest === after && (newest ?? 0n) < crl.number);
      if (outcome.at(-1) === true) this.published.push(crl);
    }
    this.events.push(event(swaps.filter((_, i) => outcome[i]).map(({ crl }) => crl)));
    return outcome;
  }

  async adopt(): Promise<boolean> {
    throw new Error('not here');
  }

  async forgetReleased(): Promise<number> {
    return 0;
  }

  async latest(_caId?: number, scope: CrlScope = 'all', kind: CrlKind = 'full'): Promise<PublishedCrl | undefined> {
    return this.published.filter((crl) => crl.scope === scope && crl.kind === kind).at(-1);
  }
}

let crls: MemoryCrls;
const row = (n: number, expiresIn = day, reason = 1): Row =>
  ({ serial: serial(n), revokedAt: t0, reason, invalidityDate: undefined, notAfter: later(expiresIn), changedAt: t0, shard: n % crls.shards });
const publication = (at: Date = t0, parts: Partial<CrlPublication> = {}): CrlPublication =>
  ({ crls, authority: ca.authority, signer: ca.signer, clock: { now: () => at }, lifetimeMs: day, smallShard: 0, ...parts });
const fulls = () => crls.published.filter(({ kind }) => kind === 'full');
const serialsOf = (crl: PublishedCrl) => [...parseCrl(crl.der).entries].map(([hex]) => hex);

beforeEach(() => { crls = new MemoryCrls(); });

describe('a CRL', () => {
  it('is signed by its CA, numbered as reserved, and lists what is revoked', async () => {
    crls.rows = [row(1), row(2, day, 0)];
    const crl = await publishCrl(publication());
    const parsed = parseCrl(crl.der);
    expect(crl).toMatchObject({ caId: 3, number: crls.reserved[0], thisUpdate: new Date('2026-11-22T10:00:00Z'), nextUpdate: new Date('2026-11-23T10:00:00Z') });
    expect(toHex(parsed.issuerDer)).toBe(toHex(ca.certificate.subjectDer));
    expect(verifySignature(ca.certificate.spkiDer, parsed.signatureAlgorithm, parsed.tbsDer, parsed.signature)).toBe(true);
    expect([...parsed.entries].map(([hex, { reason }]) => [hex, reason])).toEqual([['4001', 1], ['4002', 0]]);
    expect(crls.events).toMatchObject([{ action: 'crl.published', subject: 'ca:ecu-issuing', data: { number: String(crl.number), crls: [{ scope: 'all', kind: 'full', entries: 2 }, { scope: 'all', kind: 'delta', entries: 2 }] } }]);
  });

  it('may be empty', async () => expect(serialsOf(await publishCrl(publication()))).toEqual([]));

  it('keeps an entry for one CRL after expiry, then lets it go (I12)', async () => {
    crls.rows = [row(1, 1000), row(2)];
    await publishCrl(publication());
    expect(serialsOf(await publishCrl(publication(later(10_000))))).toEqual(['4001', '4002']);
    expect(serialsOf(await publishCrl(publication(later(20_000))))).toEqual(['4002']);
  });

  it('loses no revoked certificate: the one before it stays (I15)', async () => {
    crls.rows = [row(1), row(2)];
    const before = await publishCrl(publication());
    crls.hide = ({ serial: [, n] }) => n === 1;
    await expect(publishCrl(publication(later(5000)))).rejects.toMatchObject({ code: 'crl.invalid', retry: 'never', data: { lost: 1 } });
    expect(fulls()).toEqual([before]);
  });

  it('loses none by a clean-up of the ledger either', async () => {
    crls.rows = [row(1), row(2)];
    await publishCrl(publication());
    crls.rows = crls.rows.slice(1);
    await expect(publishCrl(publication(later(5000)))).rejects.toMatchObject({ code: 'crl.invalid' });
  });

  it('lets a released hold go, but not a hold that stands', async () => {
    crls.rows = [row(1, day, 6), row(2)];
    await publishCrl(publication());
    crls.rows = crls.rows.slice(1);
    expect(serialsOf(await publishCrl(publication(later(5000))))).toEqual(['4002']);
    crls.rows = [row(1, day, 6), row(2)];
    await publishCrl(publication(later(6000)));
    crls.hide = ({ serial: [, n] }) => n === 1;
    await expect(publishCrl(publication(later(7000)))).rejects.toMatchObject({ code: 'crl.invalid' });
  });

  it('that is overtaken by a newer one is not published', async () => {
    let overtaken = false;
    crls.meanwhile = async () => {
      if (overtaken) return;
      overtaken = true;
      crls.rows.push(row(9));
      await publishCrl(publication(later(2000)));
    };
    const crl = await publishCrl(publication());
    expect(serialsOf(crl)).toEqual(['4009']);
    expect(fulls()).toEqual([crl]);
  });

  it('that is overtaken by an older number with a newer entry is made again', async () => {
    const other = await publishCrl(publication());
    crls.published = [];
    let once = false;
    crls.meanwhile = async () => {
      if (once) return;
      once = true;
      // Reserved before us, read after us: its CRL has a revocation that ours lacks.
      crls.rows = [row(1)];
      const built = new MemoryCrls();
      built.rows = crls.rows;
      const slow = await publishCrl({ ...publication(), crls: built });
      crls.published = [{ ...slow, number: other.number }];
    };
    const crl = await publishCrl(publication(later(2000)));
    expect(serialsOf(crl)).toEqual(['4001']);
    expect(crls.reserved).toHaveLength(3);
  });

  it('goes back in neither number nor time (I13)', async () => {
    await publishCrl(publication(later(10_000)));
    await expect(publishCrl(publication(t0))).rejects.toMatchObject({ code: 'clock.skew', retry: 'later' });
    expect(fulls()).toHaveLength(1);
  });

  it('takes the time of the one before it, where that publisher had a clock a little ahead', async () => {
    const before = await publishCrl(publication(later(3000)));
    const crl = await publishCrl(publication(t0));
    expect(crl.thisUpdate).toEqual(before.thisUpdate);
    expect(crl.number).toBeGreaterThan(before.number);
  });

  it('of a CA whose key is elsewhere is not signed here', async () => {
    await expect(publishCrl(publication(t0, { authority: { ...ca.authority, keyId: undefined } }))).rejects.toMatchObject({ code: 'ca.not-active', message: expect.stringContaining('imported') });
    expect(crls.reserved).toEqual([]);
  });

  it('reserves no number while the HSM is away, and counts as what it is in the load control', async () => {
    const away = new PkiError('hsm.unavailable');
    await expect(publishCrl(publication(t0, { signer: { ...ca.signer, ready: async () => { throw away; } } }))).rejects.toBe(away);
    expect(crls.reserved).toEqual([]);
    const purposes: string[] = [];
    await publishCrl(publication(t0, { signer: { ...ca.signer, sign: (of, tbs, purpose) => { purposes.push(purpose); return ca.signer.sign(of, tbs, purpose); } } }));
    expect(purposes).toEqual(['crl']);
  });

  test.each<[CaState, boolean]>([['active', true], ['retiring', true], ['prepared', true], ['retired', false], ['compromised', false]])(
    'of a CA that is %s is signed: %s', async (state, signed) => {
      const published = publishCrl(publication(t0, { authority: { ...ca.authority, state } }));
      if (signed) await published;
      else await expect(published).rejects.toMatchObject({ code: 'ca.not-active' });
      expect(crls.reserved).toHaveLength(signed ? 1 : 0);
    });

  test.each<[string, readonly Uint8Array[]]>([['wrong', [new Uint8Array(70)]], ['missing', []]])('with a %s signature is not published', async (_what, signatures) => {
    await expect(publishCrl(publication(t0, { signer: { ...ca.signer, sign: async () => signatures } }))).rejects.toMatchObject({ code: 'hsm.signature-invalid' });
    expect(crls.published).toEqual([]);
  });

  it('signed by another CA is not published', async () => {
    await expect(publishCrl(publication(t0, { signer: testAuthority().signer }))).rejects.toMatchObject({ code: 'hsm.signature-invalid' });
  });

  it('waits while the HSM is away, its number spent', async () => {
    const away = { ...ca.signer, sign: async () => { throw new PkiError('hsm.unavailable'); } };
    await expect(publishCrl(publication(t0, { signer: away }))).rejects.toMatchObject({ code: 'hsm.unavailable', retry: 'later' });
    const crl = await publishCrl(publication());
    expect(crl.number).toBe((crls.reserved[0] ?? 0n) + 1n);
  });
});

describe('what is due', () => {
  const shown = async (at: Date, rules: Partial<CrlPublication> = {}): Promise<string[]> =>
    (await publishCrls(publication(at, { deltaLifetimeMs: 3_600_000, ...rules }), 'due')).map(({ scope, kind }) => `${scope} ${kind}`);
  const minutes = (n: number): Date => later(n * 60_000);
  const changed = (n: number, at: Date, reason = 4): Row => ({ ...row(n, day * 9, reason), changedAt: at });
  const both = ['all full', 'all delta'];

  beforeEach(() => { crls.shards = 2; });

  it('everything at first, then nothing until half of a life', async () => {
    expect(await shown(t0)).toEqual([...both, '2/0 full', '2/0 delta', '2/1 full', '2/1 delta']);
    expect(await shown(minutes(1))).toEqual([]);
    expect(await shown(minutes(29))).toEqual([]);
    expect(await shown(minutes(30))).toEqual(['all delta', '2/0 delta', '2/1 delta']);
    expect(await shown(minutes(12 * 60))).toEqual([...both, '2/0 full', '2/0 delta', '2/1 full', '2/1 delta']);
  });

  test.each<[string, number, string[]]>([
    ['superseded', 4, [...both, '2/1 delta']], ['on hold', 6, [...both, '2/1 delta']], ['keyCompromise', 1, [...both, '2/1 full', '2/1 delta']],
  ])('a change, %s', async (_, reason, expected) => {
    await shown(t0);
    crls.rows = [changed(1, minutes(2), reason)];
    expect(await shown(minutes(2))).toEqual(expected);
    // A transaction may have been under way: who is woken up again looks once more.
    expect(await shown(minutes(3))).toEqual(expected);
    expect(await shown(minutes(4))).toEqual([]);
  });

  it('one number for a run; a delta starts from the full CRL before, and the next from the newest', async () => {
    await shown(t0);
    const first = await crls.latest(3, '2/1');
    crls.rows = [changed(1, minutes(2), 1)];
    await shown(minutes(2));
    const [full, delta] = [await crls.latest(3, '2/1'), await crls.latest(3, '2/1', 'delta')];
    expect(delta).toMatchObject({ number: full?.number, baseNumber: first?.number, entries: 1 });
    crls.rows.push(changed(3, minutes(9)));
    await shown(minutes(9));
    // With what changed in the minute before its base.
    expect(await crls.latest(3, '2/1', 'delta')).toMatchObject({ baseNumber: full?.number, entries: 2 });
  });
});
