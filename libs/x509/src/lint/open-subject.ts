import { concatBytes, equalBytes } from '@fleetroot/core';
import { encodeExtension, type Extension } from '../certificate/extension.ts';
import { extensionOids } from '../certificate/oids.ts';
import { readDistributionPoints, readSubjectKeyIdentifier } from '../certificate/read-extension.ts';
import type { ParsedTbs } from '../certificate/tbs.ts';
import { DerReader } from '../der/reader.ts';
import { boolean, oid as encodeOid, tag } from '../der/writer.ts';
import { parseGeneralNames } from '../name/general-name.ts';
import type { LintRule, LintSubject } from './rule.ts';

type Known = ParsedTbs['known'];
/** What is known of the open extensions. */
type OpenKnown = Pick<Known, 'subjectKeyIdentifier' | 'subjectAltNames' | 'crlUrls'>;
/** What differs from one certificate of a template to the next, beside extensions. */
type Holes = Pick<ParsedTbs, 'serial' | 'notBefore' | 'notAfter' | 'subjectDer' | 'spkiDer'> & Pick<LintSubject, 'tbsDer'>;
type Filled = Holes & { readonly known: OpenKnown; readonly values: ReadonlyMap<string, Uint8Array> };

const code = 'certificate.malformed';

/** Extensions whose values differ from one certificate of a template to the next; all others are fixed in it. */
const readers = new Map<string, (value: Uint8Array, known: OpenKnown) => void>([
  [extensionOids.subjectKeyIdentifier, (value, known) => { known.subjectKeyIdentifier = readSubjectKeyIdentifier(value, code); }],
  [extensionOids.subjectAltName, (value, known) => { known.subjectAltNames = parseGeneralNames(value, code); }],
  [extensionOids.crlDistributionPoints, (value, known) => { known.crlUrls = readDistributionPoints(value, code); }],
]);

/** Fixed extensions that follow each other, whole; of an open one, what stands before its OCTET STRING. */
type Piece = { readonly run: Uint8Array } | { readonly oid: string; readonly before: Uint8Array };

function piecesOf(extensions: readonly Extension[]): Piece[] {
  const pieces: Piece[] = [];
  for (const extension of extensions) {
    const { oid, critical } = extension;
    const last = pieces.at(-1);
    if (readers.has(oid)) {
      pieces.push({ oid, before: concatBytes(encodeOid(oid), critical ? boolean(true) : new Uint8Array(0)) });
    } else if (last !== undefined && 'run' in last) {
      pieces[pieces.length - 1] = { run: concatBytes(last.run, encodeExtension(extension)) };
    } else {
      pieces.push({ run: encodeExtension(extension) });
    }
  }
  return pieces;
}

/**
 * A LintSubject whose holes are filled anew for every certificate of its template. As long as they are not, a look into
 * one throws.
 */
export class OpenSubject {
  readonly subject: LintSubject;
  readonly #pieces: readonly Piece[];
  #filled: Filled | undefined;
  #lookedInto = false;

  /** @param linted of a certificate that the full lint found nothing wrong with */
  constructor(linted: LintSubject) {
    this.#pieces = piecesOf(linted.tbs.extensions);
    this.subject = opened(linted, () => this.#look());
  }

  /** Whether the rule looks at anything that differs. If not, it is always content, as it was when all was linted. */
  isLookedInto(check: LintRule['check']): boolean {
    this.#filled = undefined;
    this.#lookedInto = false;
    try {
      check(this.subject);
    } catch {
      return true;
    }
    // A rule may have caught what the look threw.
    return this.#lookedInto;
  }

  /**
   * Fills the holes; reads the extensions, which stand from `start` to the end. False: they are not those of the template.
   * @throws PkiError `certificate.malformed` where one cannot be read
   */
  read(holes: Holes, start: number): boolean {
    const { tbsDer } = holes;
    const known: OpenKnown = {};
    const values = new Map<string, Uint8Array>();
    let at = start;
    for (const piece of this.#pieces) {
      if ('run' in piece) {
        if (!standsAt(tbsDer, at, piece.run)) return false;
        at += piece.run.length;
        continue;
      }
      const reader = new DerReader(tbsDer, code, at);
      const value = openValue(reader, piece.before);
      if (value === undefined) return false;
      readers.get(piece.oid)?.(value, known);
      values.set(piece.oid, value);
      at = reader.offset;
    }
    this.#filled = { ...holes, known, values };
    return at === tbsDer.length;
  }

  #look(): Filled {
    this.#lookedInto = true;
    if (this.#filled === undefined) throw new RangeError('a rule looks at what differs');
    return this.#filled;
  }
}

/** One pass without a view of the octets, which would cost more than the comparison. */
function standsAt(octets: Uint8Array, at: number, run: Uint8Array): boolean {
  if (at + run.length > octets.length) return false;
  for (let i = 0; i < run.length; i++) if (octets[at + i] !== run[i]) return false;
  return true;
}

/** The value of the next extension where OID and criticality are these; else undefined. */
function openValue(list: DerReader, before: Uint8Array): Uint8Array | undefined {
  const one = list.enter(tag.sequence, 'extension');
  const oid = one.element('extnID');
  if (!equalBytes(oid, before.subarray(0, oid.length))) return undefined;
  if (before.length > oid.length && !equalBytes(one.element('critical'), before.subarray(oid.length))) return undefined;
  const value = one.value(tag.octetString, 'extnValue');
  one.end('extnValue');
  return value;
}

function opened({ tbs, ...rest }: LintSubject, look: () => Filled): LintSubject {
  return {
    ...rest,
    get tbsDer() { return look().tbsDer; },
    tbs: {
      version: tbs.version, algorithmDer: tbs.algorithmDer, issuerDer: tbs.issuerDer,
      get serial() { return look().serial; },
      get notBefore() { return look().notBefore; },
      get notAfter() { return look().notAfter; },
      get subjectDer() { return look().subjectDer; },
      get spkiDer() { return look().spkiDer; },
      extensions: tbs.extensions.map((extension) => (readers.has(extension.oid) ? openExtension(extension, look) : extension)),
      known: openKnown(tbs.known, look),
    },
  };
}

const openExtension = ({ oid, critical }: Extension, look: () => Filled): Extension =>
  ({ oid, critical, get value() { return look().values.get(oid) ?? new Uint8Array(0); } });

/** What an absent extension says is fixed: nothing. */
function openKnown(known: Known, look: () => Filled): Known {
  const names = ['subjectKeyIdentifier', 'subjectAltNames', 'crlUrls'] as const;
  const getters = names.filter((name) => known[name] !== undefined)
    .map((name) => [name, { enumerable: true, get: () => look().known[name] }] as const);
  return Object.defineProperties({ ...known }, Object.fromEntries(getters));
}
