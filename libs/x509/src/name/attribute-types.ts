/** What the value of an attribute is written as. `directory`: PrintableString where the characters allow, else UTF8String. */
type StringForm = 'printable' | 'ia5' | 'directory';

export interface AttributeType {
  readonly oid: string;
  readonly form: StringForm;
  /** Upper bound in characters (RFC 5280 appendix A.1), or undefined where there is none. */
  readonly max: number | undefined;
  readonly min: number;
  /** The keyword in RFC 4514 strings. */
  readonly keyword: string;
}

const type = (oid: string, form: StringForm, max: number | undefined, keyword: string, min = 1): AttributeType =>
  ({ oid, form, max, min, keyword });

/** The attribute types of RFC 5280 appendix A.1, and the user identifier that botan, strongSwan and others write. */
export const attributeTypes = {
  commonName: type('2.5.4.3', 'directory', 64, 'CN'),
  surname: type('2.5.4.4', 'directory', 32768, 'SN'),
  serialNumber: type('2.5.4.5', 'printable', 64, 'serialNumber'),
  countryName: type('2.5.4.6', 'printable', 2, 'C', 2),
  localityName: type('2.5.4.7', 'directory', 128, 'L'),
  stateOrProvinceName: type('2.5.4.8', 'directory', 128, 'ST'),
  streetAddress: type('2.5.4.9', 'directory', 128, 'STREET'),
  organizationName: type('2.5.4.10', 'directory', 64, 'O'),
  organizationalUnitName: type('2.5.4.11', 'directory', 64, 'OU'),
  title: type('2.5.4.12', 'directory', 64, 'title'),
  name: type('2.5.4.41', 'directory', 32768, 'name'),
  givenName: type('2.5.4.42', 'directory', 32768, 'givenName'),
  initials: type('2.5.4.43', 'directory', 32768, 'initials'),
  generationQualifier: type('2.5.4.44', 'directory', 32768, 'generationQualifier'),
  dnQualifier: type('2.5.4.46', 'printable', undefined, 'dnQualifier'),
  pseudonym: type('2.5.4.65', 'directory', 128, 'pseudonym'),
  userId: type('0.9.2342.19200300.100.1.1', 'directory', 256, 'UID'),
  domainComponent: type('0.9.2342.19200300.100.1.25', 'ia5', undefined, 'DC'),
  emailAddress: type('1.2.840.113549.1.9.1', 'ia5', 255, 'emailAddress'),
} as const satisfies Record<string, AttributeType>;

export type AttributeTypeName = keyof typeof attributeTypes;

const byOid = new Map<string, AttributeTypeName>(
  Object.entries(attributeTypes).map(([name, { oid }]) => [oid, name as AttributeTypeName]),
);

export const attributeTypeName = (oid: string): AttributeTypeName | undefined => byOid.get(oid);
