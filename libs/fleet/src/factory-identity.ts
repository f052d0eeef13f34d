import { type EcuSerial, ecuSerial, isPkiError, type PartNumber, partNumber, PkiError } from '@fleetroot/core';
import { type AttributeTypeName, type ParsedCertificate, parseName } from '@fleetroot/x509';

/**
 * The ECU that a factory certificate names. The rule: the subject has exactly one serialNumber (2.5.4.5), which is the
 * ECU serial, and exactly one commonName (2.5.4.3), which is the part number; whatever else stands there does not
 * matter. The serialNumber attribute is not the serial number of the certificate.
 * @throws PkiError `registration.identity-missing`
 */
export function factoryIdentity({ subjectDer }: ParsedCertificate): { ecuSerial: EcuSerial; partNumber: PartNumber } {
  const attributes = parseName(subjectDer, 'registration.identity-missing');
  const only = (type: AttributeTypeName, meaning: string): string => {
    const [attribute, ...others] = attributes.filter((candidate) => candidate.type === type);
    if (attribute?.value === undefined || others.length > 0) {
      throw new PkiError('registration.identity-missing', `the subject needs exactly one ${type}: the ${meaning}`, { data: { field: type } });
    }
    return attribute.value;
  };
  try {
    return {
      ecuSerial: ecuSerial(only('serialNumber', 'ECU serial')),
      partNumber: partNumber(only('commonName', 'part number')),
    };
  } catch (cause) {
    if (!isPkiError(cause) || cause.code === 'registration.identity-missing') throw cause;
    throw new PkiError('registration.identity-missing', `the subject is of no use: ${cause.message}`, { cause });
  }
}
