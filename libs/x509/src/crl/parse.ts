import { equalBytes, PkiError } from '@fleetroot/core';
import { readTime } from '../certificate/tbs.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { algorithmFromIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import { parseName } from '../name/name.ts';
import { CrlEntryList } from './entries.ts';
import { type CrlExtensions, readCrlExtensions } from './extensions.ts';

export interface ParsedCrl extends CrlExtensions {
  readonly der: Uint8Array;
  readonly tbsDer: Uint8Array;
  readonly issuerDer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** From the serial, lower-case hex of its content octets, to the entry. */
  readonly entries: CrlEntryList;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
}

/** What a CRL is about: every certificate of its issuer, those that name its distribution point, or what changed of either. */
export type CrlNature = 'complete' | 'partition' | 'delta';

export const crlNature = ({ baseNumber, distributionPoint }: CrlExtensions): CrlNature =>
  baseNumber !== undefined ? 'delta' : distributionPoint.length > 0 ? 'partition' : 'complete';

/**
 * Reads the CRL of every certificate of its issuer, of the profile of RFC 5280 section 5: version 2, nextUpdate, CRL number
 * and key identifier must be there. A delta, or a CRL of one distribution point, does not pass: taken for the whole it would
 * hide revocations. The signature is not checked.
 * @throws PkiError `crl.invalid`
 */
export function parseCrl(der: Uint8Array): ParsedCrl {
  const crl = parseAnyCrl(der);
  const nature = crlNature(crl);
  if (nature !== 'complete') {
    throw new PkiError('crl.invalid', nature === 'delta' ? 'this is a delta CRL, not the CRL of the whole CA' : 'this is the CRL of one distribution point, not that of the whole CA');
  }
  return crl;
}

/**
 * As `parseCrl`, of whatever nature: ask `crlNature`. Any other critical extension refuses the CRL (section 5.2: it must
 * not be used then).
 * @throws PkiError `crl.invalid`
 */
export function parseAnyCrl(der: Uint8Array): ParsedCrl {
  const input = new DerReader(der, 'crl.invalid');
  const list = input.enter(tag.sequence, 'CertificateList');
  input.end('CertificateList');
  const tbsDer = list.element('tbsCertList', tag.sequence);
  const outerAlgorithm = list.element('signatureAlgorithm', tag.sequence);
  const signature = list.bitString('signatureValue');
  list.end('signatureValue');

  const tbs = new DerReader(tbsDer, 'crl.invalid').enter(tag.sequence, 'tbsCertList');
  if (tbs.peek() !== tag.integer || tbs.smallInteger('version') !== 1) tbs.fail('version', 'is not that of a v2 CRL');
  const algorithm = tbs.element('signature', tag.sequence);
  // RFC 5280 section 5.1.1.2: both must be the same.
  if (!equalBytes(algorithm, outerAlgorithm)) tbs.fail('signature', 'differs from signatureAlgorithm');
  const issuerDer = tbs.element('issuer', tag.sequence);
  if (issuerDer.length === 2) tbs.fail('issuer', 'is empty');
  parseName(issuerDer, 'crl.invalid');
  const thisUpdate = readTime(tbs, 'thisUpdate').date;
  const nextUpdate = readTime(tbs, 'nextUpdate').date;
  const revoked = tbs.peek() === tag.sequence ? tbs.element('revokedCertificates') : new Uint8Array(0);
  const wrapped = tbs.enter(contextTag(0, true), 'crlExtensions');
  const extensions = readCrlExtensions(wrapped);
  tbs.end('tbsCertList');
  return {
    ...extensions, der, tbsDer, issuerDer, thisUpdate, nextUpdate, entries: new CrlEntryList(revoked, extensions.baseNumber !== undefined),
    signatureAlgorithm: algorithmFromIdentifier(algorithm, 'crl.invalid'), signature,
  };
}
