import { endEntity } from './fleet/end-entity.ts';
import { serialLength } from './fleet/serial-length.ts';
import { statusUrls } from './fleet/status-urls.ts';
import { validityWithinIssuer } from './fleet/validity-within-issuer.ts';
import { hardwareModuleName } from './ieee8021ar/hardware-module-name.ts';
import { noExpiration } from './ieee8021ar/no-expiration.ts';
import { certificateSize } from './iso15118/certificate-size.ts';
import { anyExtendedKeyUsage } from './rfc5280/any-extended-key-usage.ts';
import { authorityKeyIdentifier } from './rfc5280/authority-key-identifier.ts';
import { caBasicConstraints } from './rfc5280/ca-basic-constraints.ts';
import { caSubject } from './rfc5280/ca-subject.ts';
import { criticalExtensionsKnown } from './rfc5280/critical-extensions-known.ts';
import { emptySubject } from './rfc5280/empty-subject.ts';
import { extensionsNonCritical } from './rfc5280/extensions-non-critical.ts';
import { extensionsUnique } from './rfc5280/extensions-unique.ts';
import { issuerNameNotEmpty } from './rfc5280/issuer-name-not-empty.ts';
import { keyCertSign } from './rfc5280/key-cert-sign.ts';
import { keyUsage } from './rfc5280/key-usage.ts';
import { nameChaining } from './rfc5280/name-chaining.ts';
import { nameConstraints } from './rfc5280/name-constraints.ts';
import { pathLength } from './rfc5280/path-length.ts';
import { serialNumber } from './rfc5280/serial-number.ts';
import { signatureAlgorithm } from './rfc5280/signature-algorithm.ts';
import { subjectAltNames } from './rfc5280/subject-alt-names.ts';
import { subjectKeyIdentifier } from './rfc5280/subject-key-identifier.ts';
import { subjectPublicKey } from './rfc5280/subject-public-key.ts';
import { subjectStrings } from './rfc5280/subject-strings.ts';
import { validityEncoding } from './rfc5280/validity-encoding.ts';
import { validityOrder } from './rfc5280/validity-order.ts';
import { version } from './rfc5280/version.ts';
import { ocspNoCheck } from './rfc6960/ocsp-nocheck.ts';
import { ocspSigning } from './rfc6960/ocsp-signing.ts';
import { noRevAvail } from './rfc9608/no-rev-avail.ts';
import type { LintRule } from './rule.ts';

/** Every rule, in the order in which findings are told. */
export const rules: readonly LintRule[] = [
  anyExtendedKeyUsage, authorityKeyIdentifier, caBasicConstraints, caSubject, criticalExtensionsKnown, emptySubject,
  extensionsNonCritical, extensionsUnique, issuerNameNotEmpty, keyCertSign, keyUsage, nameChaining, nameConstraints,
  pathLength, serialNumber, signatureAlgorithm, subjectAltNames, subjectKeyIdentifier, subjectPublicKey, subjectStrings,
  validityEncoding, validityOrder, version,
  ocspNoCheck, ocspSigning,
  noRevAvail,
  hardwareModuleName, noExpiration,
  certificateSize,
  endEntity, serialLength, statusUrls, validityWithinIssuer,
];
