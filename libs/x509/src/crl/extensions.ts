import { PkiError } from '@fleetroot/core';
import { type Extension, extension } from '../certificate/extension.ts';
import { extensionOids } from '../certificate/oids.ts';
import { readAuthorityKeyIdentifier, readDistributionPoints } from '../certificate/read-extension.ts';
import { readExtensionList } from '../certificate/extension-list.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, integer, sequence, tag, tlv } from '../der/writer.ts';
import { encodeGeneralName, readGeneralNames } from '../name/general-name.ts';

const ID_CE_CRL_NUMBER = '2.5.29.20';
const ID_CE_DELTA_CRL_INDICATOR = '2.5.29.27';
const ID_CE_ISSUING_DISTRIBUTION_POINT = '2.5.29.28';
const ID_CE_FRESHEST_CRL = '2.5.29.46';

/** What a CRL says of itself by extensions. */
export interface CrlExtensions {
  readonly number: bigint;
  readonly authorityKeyIdentifier: Uint8Array;
  /** Of a delta CRL; undefined: it is complete. */
  readonly baseNumber: bigint | undefined;
  /** URIs; empty: it is about every certificate of its issuer. */
  readonly distributionPoint: readonly string[];
  /** URIs. */
  readonly freshestCrl: readonly string[];
}

/** What a CRL that is to be made says of itself. */
export interface CrlNatureFacts {
  /** At most 20 octets (RFC 5280 section 5.2.3). */
  readonly number: bigint;
  /**
   * URIs of the issuing distribution point (RFC 5280 section 5.2.5): those that the certificates of the CRL's scope name.
   * Absent: the CRL is about every certificate of its issuer.
   */
  readonly distributionPoint?: readonly string[] | undefined;
  /** Of a delta CRL: the number of the complete CRL that it starts from (section 5.2.4). */
  readonly baseNumber?: bigint | undefined;
  /** URIs of the delta CRL of this complete one (section 5.2.6). */
  readonly freshestCrl?: readonly string[] | undefined;
}

/** CRL number, and where they apply deltaCRLIndicator, issuingDistributionPoint (both critical) and freshestCRL (not). */
export function crlExtensions({ number, distributionPoint = [], baseNumber, freshestCrl = [] }: CrlNatureFacts): Extension[] {
  const found: Extension[] = [{ oid: ID_CE_CRL_NUMBER, critical: false, value: integer(number) }];
  if (baseNumber !== undefined) found.push({ oid: ID_CE_DELTA_CRL_INDICATOR, critical: true, value: integer(baseNumber) });
  if (distributionPoint.length > 0) {
    const names = distributionPoint.map((value) => encodeGeneralName({ kind: 'uri', value }));
    // Neither reasons nor kinds of certificates: every certificate that names the point is in its scope.
    found.push({
      oid: ID_CE_ISSUING_DISTRIBUTION_POINT, critical: true,
      value: sequence(tlv(contextTag(0, true), tlv(contextTag(0, true), ...names))),
    });
  }
  if (freshestCrl.length > 0) {
    // RFC 5280 section 5.2.6: not in delta CRLs.
    if (baseNumber !== undefined) throw new PkiError('crl.invalid', 'a delta CRL points to no fresher one');
    found.push({ oid: ID_CE_FRESHEST_CRL, critical: false, value: extension.crlDistributionPoints(freshestCrl).value });
  }
  return found;
}

/** @throws PkiError `crl.invalid`, for a critical extension that is not understood as well (RFC 5280 section 5.2) */
export function readCrlExtensions(wrapped: DerReader): CrlExtensions {
  let number: bigint | undefined;
  let authorityKeyIdentifier: Uint8Array | undefined;
  let baseNumber: bigint | undefined;
  let distributionPoint: readonly string[] = [];
  let freshestCrl: readonly string[] = [];
  for (const { oid, critical, value } of readExtensionList(wrapped, 'crlExtensions')) {
    if (oid === ID_CE_ISSUING_DISTRIBUTION_POINT) {
      distributionPoint = readIssuingDistributionPoint(value);
    } else if (oid === ID_CE_DELTA_CRL_INDICATOR) {
      baseNumber = readNumber(value, 'deltaCRLIndicator');
    } else if (critical) {
      wrapped.fail(`the critical extension ${oid}`, 'is not understood');
    } else if (oid === ID_CE_CRL_NUMBER) {
      number = readNumber(value, 'cRLNumber');
    } else if (oid === extensionOids.authorityKeyIdentifier) {
      authorityKeyIdentifier = readAuthorityKeyIdentifier(value, 'crl.invalid');
    } else if (oid === ID_CE_FRESHEST_CRL) {
      freshestCrl = readDistributionPoints(value, 'crl.invalid');
    }
  }
  wrapped.end('crlExtensions');
  if (number === undefined) wrapped.fail('cRLNumber', 'is missing');
  if (authorityKeyIdentifier === undefined) wrapped.fail('authorityKeyIdentifier', 'is missing');
  if (baseNumber !== undefined && baseNumber > number) wrapped.fail('deltaCRLIndicator', 'is above the number of the delta CRL');
  return { number, authorityKeyIdentifier, baseNumber, distributionPoint, freshestCrl };
}

function readNumber(der: Uint8Array, field: string): bigint {
  const value = new DerReader(der, 'crl.invalid');
  const octets = value.integer(field);
  if (octets.length > 20) value.fail(field, 'has more than 20 octets');
  value.end(field);
  return BigInt(`0x${Buffer.from(octets).toString('hex')}`);
}

/** One that narrows the CRL by anything but its URIs is refused: who took it for more would miss revocations. */
function readIssuingDistributionPoint(der: Uint8Array): string[] {
  const value = new DerReader(der, 'crl.invalid');
  const point = value.enter(tag.sequence, 'issuingDistributionPoint');
  value.end('issuingDistributionPoint');
  const name = point.enter(contextTag(0, true), 'distributionPointName');
  const fullName = name.enter(contextTag(0, true), 'fullName');
  name.end('distributionPointName');
  const names = readGeneralNames(fullName);
  if (!point.atEnd) point.fail('issuingDistributionPoint', 'is of some certificates or reasons only, which is not understood');
  const uris = names.flatMap(({ kind, value: uri }) => (kind === 'uri' ? [uri] : []));
  if (uris.length === 0 || uris.length !== names.length) point.fail('issuingDistributionPoint', 'has a name that is no URI');
  return uris;
}
