import * as writer from './der/writer.ts';

export { DerReader } from './der/reader.ts';
/** Building blocks of DER, for the libraries that write other structures. */
export const der = writer;
export { decodePem, encodePem, looksLikePem, type PemBlock } from './pem/pem.ts';
export {
  algorithmFromIdentifier, algorithmIdentifier, digestOf, type DigestName, findAlgorithm, type SignatureAlgorithm,
} from './key/algorithm.ts';
export {
  algorithmFitsKey, importPublicKey, keyIdentifier, type KeyType, type PublicKeyFacts, publicKeyFacts, signatureAlgorithmFor,
  spkiSha256,
} from './key/public-key.ts';
export { type BlockedKeys, readBlockedKeys, refuseBlockedKey } from './key/blocked-keys.ts';
export { type FixedKeyVerifier, fixedKeyVerifier } from './key/fixed-key/verifier.ts';
export { ecdsaSignatureToDer, verifySignature, verifyWithKey } from './key/signature.ts';
export { type AttributeTypeName, attributeTypes } from './name/attribute-types.ts';
export { encodeName, type NameAttribute, type NamePart, parseName } from './name/name.ts';
export { describeName } from './name/describe.ts';
export {
  encodeGeneralName, encodeGeneralNames, type GeneralName, type GeneralNameKind, parseGeneralNames, readGeneralNames,
} from './name/general-name.ts';
export { type BasicConstraints, encodeExtension, type Extension, extension } from './certificate/extension.ts';
export type { NameSubtree, NameSubtrees } from './certificate/extension-name-constraints.ts';
export { extensionOids, type KeyPurpose, keyPurposeOids, type KeyUsage, keyUsages } from './certificate/oids.ts';
export { readExtensions } from './certificate/read-extension.ts';
export { CertificateTemplate } from './certificate/template.ts';
export type { TemplateExtension, TemplateFields, TemplateHoles, TemplateSubjectPart } from './certificate/template-fields.ts';
export { assembleCertificate } from './certificate/assemble.ts';
export { type ParsedCertificate, parseCertificate } from './certificate/certificate.ts';
export { readTime, type TbsTime } from './certificate/tbs.ts';
export { type CertificationRequest, MAX_REQUEST_OCTETS, parseRequest, verifyPossession } from './request/request.ts';
export { readRequest } from './request/read.ts';
export { buildRequest, type RequestFields } from './request/build.ts';
export { compileLint } from './lint/compile.ts';
export { lintCertificate } from './lint/lint.ts';
export type { LintContext, LintFinding, LintKind, LintRule, LintSeverity } from './lint/rule.ts';
export type { CrlEntry } from './crl/entry-encoder.ts';
export { CrlEntries, CrlEntryList } from './crl/entries.ts';
export { assembleCrl, buildCrlTbs, type CrlFacts, type CrlFields } from './crl/build.ts';
export { type CrlSpool, type StreamedCrlTbs, writeCrl, writeCrlTbs } from './crl/stream.ts';
export { type CrlNature, crlNature, parseAnyCrl, type ParsedCrl, parseCrl } from './crl/parse.ts';
export type { CertIdHash } from './ocsp/oids.ts';
export { type CertId, OCSP_MAX_OCTETS, type OcspRequest, parseOcspRequest } from './ocsp/request.ts';
export { certIdsOf, type IssuerHashes, issuerHashes, namesIssuer } from './ocsp/issuer-hash.ts';
export {
  assembleOcspResponse, buildOcspResponseData, type CertStatus, type OcspErrorStatus, ocspErrorResponse,
  type OcspResponseFields, type SingleResponse, thisUpdateOf,
} from './ocsp/response.ts';
export { checkTrustAnchor, pathFailures, type PathInput, type ValidatedPath, validatePath } from './path/validate.ts';
export { type IssuingLimits, issuingLimits, type LineFailure, lineFailure, sameSubject } from './path/authorities.ts';
export { LeafIssuer } from './path/leaf-issuer.ts';
export type { PathFailure, PathPurpose } from './path/rules.ts';
export { type CertificateBundle, decodeCertsOnly, encodeCertsOnly } from './cms/certs-only.ts';
export { CMS_MAX_OCTETS } from './cms/content-info.ts';
export { buildSignedData, type SignedDataFields } from './cms/sign.ts';
export { type CmsSigner, type VerifiedSignedData, verifySignedData } from './cms/verify.ts';
export { envelopPrivateKey } from './cms/enveloped-data.ts';
export { recipientFault } from './cms/enveloped-recipient.ts';
export { encryptPrivateKey, openPrivateKey, type PasswordKey, passwordKey } from './key/pkcs8-encryption.ts';
export { encodePfx, type PfxFields } from './pkcs12/pfx.ts';
