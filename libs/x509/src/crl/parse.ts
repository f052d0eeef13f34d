import { equalBytes } from '@fleetroot/core';
import { readExtensionList } from '../certificate/extension-list.ts';
import { extensionOids } from '../certificate/oids.ts';
import { readAuthorityKeyIdentifier } from '../certificate/read-extension.ts';
import { readTime } from '../certificate/tbs.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { algorithmFromIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import { parseName } from '../name/name.ts';
import { CrlEntryList } from './entries.ts';

export interface ParsedCrl {
  readonly der: Uint8Array;
  readonly tbsDer: Uint8Array;
  readonly issuerDer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly number: bigint;
  readonly authorityKeyIdentifier: Uint8Array;
  /** From the serial, lower-case hex of its content octets, to the entry. */
  readonly entries: CrlEntryList;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
}

const ID_CE_CRL_NUMBER = '2.5.29.20';

/**
 * Reads a complete CRL of the profile of RFC 5280 section 5: version 2, nextUpdate, CRL number and key identifier must
 * be there. A critical extension refuses the CRL (section 5.2: it must not be used then), so delta CRLs and those of an
 * issuing distribution point do not pass. The signature is not checked.
 * @throws PkiError `crl.invalid`
 */
export function parseCrl(der: Uint8Array): ParsedCrl {
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
  const { number, authorityKeyIdentifier } = extensionsOf(wrapped);
  tbs.end('tbsCertList');
  return {
    der, tbsDer, issuerDer, thisUpdate, nextUpdate, number, authorityKeyIdentifier, entries: new CrlEntryList(revoked),
    signatureAlgorithm: algorithmFromIdentifier(algorithm, 'crl.invalid'), signature,
  };
}

function extensionsOf(wrapped: DerReader): Pick<ParsedCrl, 'number' | 'authorityKeyIdentifier'> {
  let number: bigint | undefined;
  let authorityKeyIdentifier: Uint8Array | undefined;
  for (const extension of readExtensionList(wrapped, 'crlExtensions')) {
    if (extension.critical) wrapped.fail(`the critical extension ${extension.oid}`, 'is not understood');
    const value = new DerReader(extension.value, 'crl.invalid');
    if (extension.oid === ID_CE_CRL_NUMBER) {
      const octets = value.integer('cRLNumber');
      if (octets.length > 20) value.fail('cRLNumber', 'has more than 20 octets');
      number = BigInt(`0x${Buffer.from(octets).toString('hex')}`);
      value.end('cRLNumber');
    } else if (extension.oid === extensionOids.authorityKeyIdentifier) {
      authorityKeyIdentifier = readAuthorityKeyIdentifier(extension.value, 'crl.invalid');
    }
  }
  wrapped.end('crlExtensions');
  if (number === undefined) wrapped.fail('cRLNumber', 'is missing');
  if (authorityKeyIdentifier === undefined) wrapped.fail('authorityKeyIdentifier', 'is missing');
  return { number, authorityKeyIdentifier };
}
