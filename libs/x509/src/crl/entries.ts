import { concatBytes, PkiError, toHex } from '@fleetroot/core';
import { header, tag } from '../der/writer.ts';
import { type CrlEntry, CrlEntryEncoder } from './entry-encoder.ts';
import { EntryWalk } from './entry-walk.ts';

/**
 * Collects the entries of one CRL as DER, in chunks: memory is that of the CRL itself, and time is linear in the
 * entries, so a caller may stream a million rows through `add` without keeping them. `writeCrlTbs` keeps none of them.
 */
export class CrlEntries {
  readonly #full: Uint8Array[] = [];
  readonly #encoder: CrlEntryEncoder;

  /** @param delta of a delta CRL: entries may say removeFromCRL */
  constructor({ delta = false }: { readonly delta?: boolean } = {}) {
    this.#encoder = new CrlEntryEncoder((chunk) => {
      this.#full.push(chunk);
      return undefined;
    }, delta);
  }

  get delta(): boolean {
    return this.#encoder.delta;
  }

  get octets(): number {
    return this.#encoder.octets;
  }

  get count(): number {
    return this.#encoder.count;
  }

  /** @throws PkiError `crl.invalid` for a reason that a CRL of this kind does not know, or a serial that is not positive */
  add(entry: CrlEntry): void {
    this.#encoder.add(entry);
  }

  /**
   * revokedCertificates, or no octet at all when nothing was added (RFC 5280 section 5.1.2.6).
   * @throws PkiError `crl.invalid` where a serial was added twice
   */
  encode(): Uint8Array {
    if (this.count === 0) return new Uint8Array(0);
    const der = concatBytes(header(tag.sequence, this.#encoder.octets), ...this.#full, this.#encoder.rest);
    // In ascending order, as the ledger gives them, no serial can come twice; any other order is searched.
    if (!this.#encoder.ascending) new CrlEntryList(der).index();
    return der;
  }
}

/**
 * The entries of a CRL that was read: a read-only map from the serial (lower-case hex of its content octets) to its
 * entry. It keeps the DER and decodes an entry when asked; the index is made at the first look-up.
 */
export class CrlEntryList implements Iterable<[string, CrlEntry]> {
  readonly #der: Uint8Array;
  readonly #delta: boolean;
  readonly size: number;
  /** Whether each serial sorts after the one before, by its octets: then none comes twice. */
  readonly ascending: boolean;
  #offsets: Map<string, number> | undefined;

  /**
   * @param der revokedCertificates whole, or no octet
   * @param delta entries may say removeFromCRL
   * @throws PkiError `crl.invalid` where any entry is not well formed or says something critical that is not understood
   */
  constructor(der: Uint8Array, delta = false) {
    this.#der = der;
    this.#delta = delta;
    let size = 0;
    let ascending = true;
    let last = { at: 0, end: 0 };
    const walk = this.walk();
    for (; walk.step(); size++) {
      ascending &&= compareOctets(der, last.at, last.end, der, walk.serialAt, walk.serialEnd) < 0;
      last = { at: walk.serialAt, end: walk.serialEnd };
    }
    if (der.length > 0 && size === 0) throw new PkiError('crl.invalid', 'revokedCertificates is there but empty');
    this.size = size;
    this.ascending = ascending;
  }

  has(serialHex: string): boolean {
    return this.index().has(serialHex);
  }

  get(serialHex: string): CrlEntry | undefined {
    const offset = this.index().get(serialHex);
    if (offset === undefined) return undefined;
    const walk = this.walk();
    walk.offset = offset;
    return walk.entry;
  }

  *[Symbol.iterator](): IterableIterator<[string, CrlEntry]> {
    for (const walk = this.walk(); walk.step();) {
      const { entry } = walk;
      yield [toHex(entry.serial), entry];
    }
  }

  walk(): EntryWalk {
    return new EntryWalk(this.#der, this.#delta);
  }

  /** @throws PkiError `crl.invalid` where a serial is listed twice */
  index(): ReadonlyMap<string, number> {
    if (this.#offsets !== undefined) return this.#offsets;
    const offsets = new Map<string, number>();
    for (const walk = this.walk(); walk.step();) offsets.set(toHex(walk.serial), walk.offset);
    if (offsets.size !== this.size) throw new PkiError('crl.invalid', 'a serial number is on the CRL twice');
    this.#offsets = offsets;
    return offsets;
  }

  /** The entries of this list whose serials are not on `next`. Two lists in ascending order are read side by side. */
  *goneFrom(next: CrlEntryList): Generator<Pick<CrlEntry, 'serial' | 'reason'>> {
    const ordered = this.ascending && next.ascending;
    const later = next.walk();
    let more = ordered && later.step();
    for (const walk = this.walk(); walk.step();) {
      let there: boolean;
      if (ordered) {
        let order = -1;
        while (more && (order = compareOctets(next.#der, later.serialAt, later.serialEnd, this.#der, walk.serialAt, walk.serialEnd)) < 0) more = later.step();
        there = more && order === 0;
      } else {
        there = next.has(toHex(walk.serial));
      }
      if (!there) yield { serial: walk.serial, reason: walk.reason };
    }
  }
}

/** As Buffer.compare of the two pieces, without making them. */
function compareOctets(a: Uint8Array, from: number, end: number, b: Uint8Array, fromB: number, endB: number): number {
  const shared = Math.min(end - from, endB - fromB);
  for (let i = 0; i < shared; i++) {
    const difference = (a[from + i] ?? 0) - (b[fromB + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return (end - from) - (endB - fromB);
}
