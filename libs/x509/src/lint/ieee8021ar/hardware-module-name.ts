import { DerReader } from '../../der/reader.ts';
import { contextTag, tag } from '../../der/writer.ts';
import type { LintRule } from '../rule.ts';

/** id-on-hardwareModuleName. */
const HARDWARE_MODULE_NAME = '1.3.6.1.5.5.7.8.4';
const code = 'certificate.malformed';

/** The otherName that an IDevID names its module by: hwType and hwSerialNum, both with content. */
export const hardwareModuleName: LintRule = {
  name: 'hardware-module-name',
  severity: 'error',
  citation: 'IEEE 802.1AR and RFC 4108 section 5',
  check: ({ tbs: { known } }) => {
    for (const { kind, value } of known.subjectAltNames ?? []) {
      if (kind === 'other' && value[0] === contextTag(0, true) && !isSound(value)) return 'a hardwareModuleName has no serial number';
    }
    return undefined;
  },
};

/** True for an otherName of another type. @throws PkiError where it has another form */
function isSound(otherName: Uint8Array): boolean {
  const reader = new DerReader(otherName, code).enter(contextTag(0, true), 'otherName');
  if (reader.oid('type-id') !== HARDWARE_MODULE_NAME) return true;
  const value = reader.enter(contextTag(0, true), 'value');
  reader.end('value');
  const name = value.enter(tag.sequence, 'hardwareModuleName');
  value.end('hardwareModuleName');
  name.oid('hwType');
  const serial = name.value(tag.octetString, 'hwSerialNum');
  name.end('hwSerialNum');
  return serial.length > 0;
}
