import { equalBytes } from '@fleetroot/core';
import { parseTbs, readTime, type TbsTime } from '../certificate/tbs.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { lintCertificate, lintSubject } from './lint.ts';
import { OpenSubject } from './open-subject.ts';
import type { LintContext, LintFinding, LintRule } from './rule.ts';
import { rules } from './rules.ts';

/** What one profile makes of one issuer: with and without names that may be absent, and some to spare. */
const MAX_TEMPLATES = 8;
const code = 'certificate.malformed';
const VERSION_3 = Uint8Array.of(0xa0, 0x03, 0x02, 0x01, 0x02);

/**
 * The lint of what one issuer signs after one profile: it finds what `lintCertificate` finds, in a few microseconds.
 *
 * What is the same from one certificate to the next (the algorithm, the issuer, most extensions, which ones there are
 * and whether they are critical) is linted once, when it is first seen, and from then on compared octet by octet. What
 * differs is read and linted each time, by the rules that look at it. Why nothing escapes: a rule is left out only if it
 * was content without a look at anything that differs, so it cannot but be content again; and where the octets are others,
 * where something cannot be read, or where a rule is not content, the full lint has the word.
 */
export function compileLint(context: LintContext): (tbsDer: Uint8Array) => LintFinding[] {
  const templates: LintTemplate[] = [];
  return (tbsDer) => {
    for (const template of templates) if (template.admits(tbsDer)) return [];
    const findings = lintCertificate(tbsDer, context);
    // A self-signed certificate is compared with itself: nothing of it is fixed.
    if (findings.length === 0 && context.issuer !== undefined && templates.length < MAX_TEMPLATES) {
      templates.push(new LintTemplate(tbsDer, context));
    }
    return findings;
  };
}

interface Validity {
  readonly der: Uint8Array;
  readonly notBefore: TbsTime;
  readonly notAfter: TbsTime;
}

/** What the certificates of a template have in common, linted; and the rules that look at anything else. */
class LintTemplate {
  readonly #algorithmDer: Uint8Array;
  readonly #issuerDer: Uint8Array;
  readonly #open: OpenSubject;
  readonly #rules: readonly LintRule[];
  #validity: Validity | undefined;

  /** @param tbsDer one that the full lint found nothing wrong with */
  constructor(tbsDer: Uint8Array, context: LintContext) {
    // A copy, which `slice` of a Buffer is not: the template outlives what it was made of.
    const own = new Uint8Array(tbsDer);
    const linted = lintSubject(own, parseTbs(own, code, 'refuse-defaults'), context);
    this.#algorithmDer = linted.tbs.algorithmDer;
    this.#issuerDer = linted.tbs.issuerDer;
    this.#open = new OpenSubject(linted);
    this.#rules = rules.filter(({ check }) => this.#open.isLookedInto(check));
  }

  /** Whether this is a TBSCertificate of the template with which every rule is content. False decides nothing. */
  admits(tbsDer: Uint8Array): boolean {
    try {
      return this.#read(tbsDer) && this.#rules.every(({ check }) => check(this.#open.subject) === undefined);
    } catch {
      return false;
    }
  }

  /** As `parseTbs` reads it, but that what is fixed is compared; false where it is another. Throws what `parseTbs` throws. */
  #read(tbsDer: Uint8Array): boolean {
    const outer = new DerReader(tbsDer, code);
    const reader = outer.enter(tag.sequence, 'tbsCertificate');
    outer.end('tbsCertificate');
    if (!equalBytes(reader.element('version'), VERSION_3)) return false;
    const serial = reader.integer('serialNumber');
    if (!equalBytes(reader.element('signature'), this.#algorithmDer)) return false;
    if (!equalBytes(reader.element('issuer'), this.#issuerDer)) return false;
    const { notBefore, notAfter } = this.#times(reader.element('validity', tag.sequence));
    const subjectDer = reader.element('subject', tag.sequence);
    const spkiDer = reader.element('subjectPublicKeyInfo', tag.sequence);
    const explicit = reader.enter(contextTag(3, true), 'extensions');
    reader.end('tbsCertificate');
    const list = explicit.enter(tag.sequence, 'extensions');
    explicit.end('extensions');
    // Nothing comes after them: they end where the TBSCertificate ends.
    return this.#open.read({ tbsDer, serial, notBefore, notAfter, subjectDer, spkiDer }, list.offset);
  }

  /** The certificates of a chunk share their validity: the last one is kept. */
  #times(validityDer: Uint8Array): Validity {
    if (this.#validity === undefined || !equalBytes(validityDer, this.#validity.der)) {
      const validity = new DerReader(validityDer, code).enter(tag.sequence, 'validity');
      const times = { notBefore: readTime(validity, 'notBefore'), notAfter: readTime(validity, 'notAfter') };
      validity.end('validity');
      this.#validity = { der: new Uint8Array(validityDer), ...times };
    }
    return this.#validity;
  }
}
