import { concatBytes, PkiError, toHex } from '@fleetroot/core';
import type { Extension } from '../certificate/extension.ts';
import { encodeExtensions, readExtensionList } from '../certificate/extension-list.ts';
import { readTime } from '../certificate/tbs.ts';
import { DerReader } from '../der/reader.ts';
import { enumerated, generalizedTime, header, integer, tag, time as encodeTime } from '../der/writer.ts';

/** One revoked certificate of a CRL. */
export interface CrlEntry {
  /** Content octets of the serial's INTEGER, or its magnitude. */
  readonly serial: Uint8Array;
  /** Whole seconds count. */
  readonly revokedAt: Date;
  /** CRLReason of RFC 5280 section 5.3.1; 0 (unspecified) is left out of the entry. */
  readonly reason: number;
  readonly invalidityDate?: Date | undefined;
}

const ID_CE_CRL_REASONS = '2.5.29.21';
const ID_CE_INVALIDITY_DATE = '2.5.29.24';
/** removeFromCRL (8) belongs in delta CRLs only, and 7 is not used (RFC 5280 section 5.3.1). */
const REASONS: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5, 6, 9, 10]);
const CHUNK = 1 << 16;

/**
 * Collects the entries of one CRL as DER, in chunks: memory is that of the CRL itself, and time is linear in the
 * entries, so a caller may stream a million rows through `add` without keeping them.
 */
export class CrlEntries {
  readonly #full: Uint8Array[] = [];
  #chunk = new Uint8Array(CHUNK);
  #used = 0;
  #octets = 0;
  #count = 0;
  #last: Uint8Array | undefined;
  #ascending = true;
  #second = Number.NaN;
  #encodedSecond = new Uint8Array(0);
  readonly #reasonExtensions = new Map<number, Uint8Array>();

  get count(): number {
    return this.#count;
  }

  /** @throws PkiError `crl.invalid` for a reason that a complete CRL does not know, or a serial that is not positive */
  add(entry: CrlEntry): void {
    const serial = integer(entry.serial);
    const content = serial.subarray(2);
    if (content.length > 20 || content.every((octet) => octet === 0)) {
      throw new PkiError('crl.invalid', 'a serial number on a CRL is positive and has at most 20 octets');
    }
    this.#ascending &&= this.#last === undefined || Buffer.compare(this.#last, content) < 0;
    this.#last = content;
    const date = this.#time(entry.revokedAt);
    const extensions = this.#extensions(entry);
    this.#append(header(tag.sequence, serial.length + date.length + extensions.length), serial, date, extensions);
    this.#count++;
  }

  /**
   * revokedCertificates, or no octet at all when nothing was added (RFC 5280 section 5.1.2.6).
   * @throws PkiError `crl.invalid` where a serial was added twice
   */
  encode(): Uint8Array {
    if (this.#count === 0) return new Uint8Array(0);
    const content = [...this.#full, this.#chunk.subarray(0, this.#used)];
    const der = concatBytes(header(tag.sequence, this.#octets), ...content);
    // In ascending order, as the ledger gives them, no serial can come twice; any other order is searched.
    if (!this.#ascending) new CrlEntryList(der).index();
    return der;
  }

  #time(date: Date): Uint8Array {
    const second = Math.floor(date.getTime() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#encodedSecond = new Uint8Array(encodeTime(date));
    }
    return this.#encodedSecond;
  }

  #extensions(entry: CrlEntry): Uint8Array {
    if (!REASONS.has(entry.reason)) throw new PkiError('crl.invalid', `CRLReason ${entry.reason} does not belong on a complete CRL`);
    if (entry.invalidityDate === undefined) {
      const known = this.#reasonExtensions.get(entry.reason);
      if (known !== undefined) return known;
    }
    const extensions: Extension[] = [];
    if (entry.reason !== 0) {
      extensions.push({ oid: ID_CE_CRL_REASONS, critical: false, value: enumerated(entry.reason) });
    }
    if (entry.invalidityDate !== undefined) {
      extensions.push({ oid: ID_CE_INVALIDITY_DATE, critical: false, value: generalizedTime(entry.invalidityDate) });
    }
    const encoded = extensions.length === 0 ? new Uint8Array(0) : encodeExtensions(extensions);
    if (entry.invalidityDate === undefined) this.#reasonExtensions.set(entry.reason, encoded);
    return encoded;
  }

  #append(...parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      if (this.#used + part.length > CHUNK) {
        this.#full.push(this.#chunk.subarray(0, this.#used));
        this.#chunk = new Uint8Array(CHUNK);
        this.#used = 0;
      }
      this.#chunk.set(part, this.#used);
      this.#used += part.length;
      this.#octets += part.length;
    }
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
        if (more.length > 0 || !REASONS.has(code)) value.fail('reasonCode', 'does not belong on a complete CRL');
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
