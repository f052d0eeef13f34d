import type { CertificateTemplate, GeneralName } from '@fleetroot/x509';
import { hardwareModuleName } from './hardware-module-name.ts';
import { NO_END } from './validity.ts';
import type { Profile, SubjectAltNameRule, SubjectPart } from './profile.ts';
import { MAX_NAMES, MAX_URI } from './requested.ts';
import { longestSpki } from './size.ts';

/** What an ECU serial or a part number may have. */
const FACT_MAX = 64;
const DNS_NAME_MAX = 253;
const RSA_MAX_BITS = 8192;

/** Octets of the longest TBSCertificate: every hole filled as far as the rules of the profile let it. */
export function worstCase(profile: Profile, templateOf: (serial: Uint8Array) => CertificateTemplate): number {
  const serial = new Uint8Array(20).fill(0x7f);
  // The last shard has the longest number.
  const template = templateOf(inShard(serial, (profile.crlShards ?? 1) - 1));
  const lengths = profile.keys.types.map((keyType) => template.build({
    serial, notBefore: NO_END, notAfter: NO_END, spkiDer: longestSpki(keyType, profile.keys.rsaMaxBits ?? RSA_MAX_BITS),
    subject: Object.fromEntries(profile.subject.map((part) => [part.type, longestText(part)])),
    subjectAltNames: profile.subjectAltNames.flatMap(longestNames),
  }).length);
  return Math.max(...lengths);
}

function inShard(serial: Uint8Array, shard: number): Uint8Array {
  const octets = Buffer.from(serial);
  octets.writeUInt32BE(shard, serial.length - 4);
  return octets;
}

function longestText(part: SubjectPart): string | undefined {
  if ('fixed' in part) return undefined;
  if (part.type === 'countryName') return 'XX';
  if (part.type === 'domainComponent') return 'x'.repeat(63);
  const text = part.from === 'request' && part.type !== 'serialNumber' && part.type !== 'dnQualifier';
  // Four octets in UTF-8, which are two units of a string, and one character.
  return text ? '\u{10000}'.repeat(64) : 'x'.repeat(FACT_MAX);
}

function longestNames(rule: SubjectAltNameRule): GeneralName[] {
  const many = (name: GeneralName) => Array.from({ length: MAX_NAMES }, () => name);
  if (rule.kind === 'dns') return many({ kind: 'dns', value: 'x'.repeat(DNS_NAME_MAX) });
  if (rule.kind === 'ip') return many({ kind: 'ip', value: new Uint8Array(16) });
  if (rule.kind === 'hardwareModuleName') return [hardwareModuleName(rule.hwType, 'x'.repeat(FACT_MAX))];
  return rule.from === 'request' ? many({ kind: 'uri', value: 'x'.repeat(MAX_URI) }) : [{ kind: 'uri', value: rule.prefix + 'x'.repeat(FACT_MAX) }];
}
