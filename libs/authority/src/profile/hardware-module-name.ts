import { utf8 } from '@fleetroot/core';
import { der, type GeneralName } from '@fleetroot/x509';

/** id-on-hardwareModuleName. */
const HARDWARE_MODULE_NAME = '1.3.6.1.5.5.7.8.4';

/**
 * otherName hardwareModuleName (RFC 4108 section 5): SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING }. The
 * serial number goes in as the octets of its text.
 */
export function hardwareModuleName(hwType: string, serial: string): GeneralName {
  const name = der.sequence(der.oid(hwType), der.octetString(utf8(serial)));
  // otherName is [0] IMPLICIT, its value [0] EXPLICIT (RFC 5280 section 4.2.1.6).
  return { kind: 'other', value: der.tlv(der.contextTag(0, true), der.oid(HARDWARE_MODULE_NAME), der.explicit(0, name)) };
}
