import { concatBytes, PkiError, toHex } from '@fleetroot/core';
import { readExtensionList } from '../certificate/extension-list.ts';
import { readTime } from '../certificate/tbs.ts';
import { DerReader } from '../der/reader.ts';
import { header, tag } from '../der/writer.ts';
import {
  COMPLETE_CRL_REASONS, type CrlEntry, CrlEntryEncoder, ID_CE_CRL_REASONS, ID_CE_INVALIDITY_DATE,
} from './entry-encoder.ts';

/**
 * Collects the entries of one CRL as DER, in chunks: memory is that of the CRL itself, and time is linear in the
 * entries, so a caller may stream a million rows through `add` without keeping them. `writeCrlTbs` keeps none of them.
 */
export class CrlEntries {
  readonly #full: Uint8Array[] = [];
  readonly #encoder = new CrlEntryEncoder((chunk) => {
    this.#full.push(chunk);
    return undefined;
  });

  get count(): number {
    return this.#encoder.count;
  }

  /** @throws PkiError `crl.invalid` for a reason that a complete CRL does not know, or a serial that is not positive */
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
  readonly size: number;
  #offsets: Map<string, number> | undefined;

  /**
   * @param der revokedCertificates whole, or no octet
   * @throws PkiError `crl.invalid` where any entry is not well formed or says something critical that is not understood
   */
  constructor(der: Uint8Array) {
    this.#der = der;
    let size = 0;
    for (const _ of this.#walk()) size++;
    if (der.length > 0 && size === 0) throw new PkiError('crl.invalid', 'revokedCertificates is there but empty');
    this.size = size;
  }

  has(serialHex: string): boolean {
    return this.index().has(serialHex);
  }

  get(serialHex: string): CrlEntry | undefined {
    const offset = this.index().get(serialHex);
    return offset === undefined ? undefined : readEntry(new DerReader(this.#der, 'crl.invalid', offset));
  }

  *[Symbol.iterator](): IterableIterator<[string, CrlEntry]> {
    for (const { entry } of this.#walk()) yield [toHex(entry.serial), entry];
  }

  /** @throws PkiError `crl.invalid` where a serial is listed twice */
  index(): ReadonlyMap<string, number> {
    if (this.#offsets !== undefined) return this.#offsets;
    const offsets = new Map<string, number>();
    for (const { entry, offset } of this.#walk()) offsets.set(toHex(entry.serial), offset);
    if (offsets.size !== this.size) throw new PkiError('crl.invalid', 'a serial number is on the CRL twice');
    this.#offsets = offsets;
    return offsets;
  }

  *#walk(): IterableIterator<{ entry: CrlEntry; offset: number }> {
    if (this.#der.length === 0) return;
    const reader = new DerReader(this.#der, 'crl.invalid').enter(tag.sequence, 'revokedCertificates');
    while (!reader.atEnd) {
      const offset = reader.offset;
      yield { entry: readEntry(reader), offset };
    }
  }
}

function readEntry(list: DerReader): CrlEntry {
  const reader = list.enter(tag.sequence, 'revokedCertificates entry');
  const serial = reader.integer('userCertificate');
  const revokedAt = readTime(reader, 'revocationDate').date;
  let reason = 0;
  let invalidityDate: Date | undefined;
  if (!reader.atEnd) {
    for (const extension of readExtensionList(reader, 'crlEntryExtensions')) {
      const value = new DerReader(extension.value, 'crl.invalid');
      if (extension.oid === ID_CE_CRL_REASONS) {
        const [code = -1, ...more] = value.value(tag.enumerated, 'reasonCode');
        if (more.length > 0 || !COMPLETE_CRL_REASONS.has(code)) value.fail('reasonCode', 'does not belong on a complete CRL');
        reason = code;
      } else if (extension.oid === ID_CE_INVALIDITY_DATE) {
        const time = readTime(value, 'invalidityDate');
        // GeneralizedTime whatever the year (RFC 5280 section 5.3.2).
        if (!time.generalized) value.fail('invalidityDate', 'is not a GeneralizedTime');
        invalidityDate = time.date;
      } else if (extension.critical) {
        reader.fail(`the critical entry extension ${extension.oid}`, 'is not understood');
      } else {
        continue;
      }
      value.end('a CRL entry extension');
    }
  }
  reader.end('revokedCertificates entry');
  return { serial, revokedAt, reason, invalidityDate };
}
