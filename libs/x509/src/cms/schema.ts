import { EncapsulatedContentInfo } from '@peculiar/asn1-cms';
import { AsnArray, AsnProp, AsnPropTypes, AsnType, AsnTypeTypes } from '@peculiar/asn1-schema';

/**
 * SET OF values that stay whole, byte for byte (a NULL is null). The library's own classes take a certificate apart and
 * would write it anew, which need not give the octets that were signed; and its RevocationInfoChoice knows no CRL.
 */
export class WholeSet extends AsnArray<ArrayBuffer | null> {}
AsnType({ type: AsnTypeTypes.Set, itemType: AsnPropTypes.Any })(WholeSet);

/** SignedData (RFC 5652 section 5.1), to be read. */
class SignedData {
  version: number | string = 0;
  digestAlgorithms = new WholeSet();
  encapContentInfo = new EncapsulatedContentInfo();
  certificates: WholeSet | undefined = undefined;
  crls: WholeSet | undefined = undefined;
  signerInfos = new WholeSet();
}
const fields = SignedData.prototype;
AsnProp({ type: AsnPropTypes.Integer })(fields, 'version');
AsnProp({ type: WholeSet })(fields, 'digestAlgorithms');
AsnProp({ type: EncapsulatedContentInfo })(fields, 'encapContentInfo');
AsnProp({ type: WholeSet, context: 0, implicit: true, optional: true })(fields, 'certificates');
AsnProp({ type: WholeSet, context: 1, implicit: true, optional: true })(fields, 'crls');
AsnProp({ type: WholeSet })(fields, 'signerInfos');

/** ContentInfo (RFC 5652 section 3) that holds a SignedData: read in one go, where the library's own class would need two. */
export class SignedContentInfo {
  contentType = '';
  content = new SignedData();
}
AsnProp({ type: AsnPropTypes.ObjectIdentifier })(SignedContentInfo.prototype, 'contentType');
AsnProp({ type: SignedData, context: 0 })(SignedContentInfo.prototype, 'content');
