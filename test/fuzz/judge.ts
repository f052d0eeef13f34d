import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isPkiError } from '@fleetroot/core';
import { parseCertificate, parseCrl, readRequest, verifyPossession } from '@fleetroot/x509';

interface Judge {
  readonly command: readonly string[];
  /** What OpenSSL should print of an input that we took. */
  expected(input: Buffer): string[];
}

const iso = (date: Date): string => date.toISOString().replace('T', ' ').replace('.000Z', 'Z');
/** An INTEGER as OpenSSL prints it. */
const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex').toUpperCase().replace(/^00(?=..)/, '');

function possessed(input: Buffer): boolean {
  try {
    verifyPossession(readRequest(input));
    return true;
  } catch (error) {
    if (isPkiError(error)) return false;
    throw error;
  }
}

const judges: Readonly<Record<string, Judge>> = {
  certificate: {
    command: ['x509', '-inform', 'DER', '-noout', '-serial', '-startdate', '-enddate', '-dateopt', 'iso_8601', '-in'],
    expected: (input) => {
      const { serial, notBefore, notAfter } = parseCertificate(input);
      return [`serial=${hex(serial)}`, `notBefore=${iso(notBefore)}`, `notAfter=${iso(notAfter)}`];
    },
  },
  crl: {
    command: ['crl', '-inform', 'DER', '-noout', '-crlnumber', '-in'],
    expected: (input) => {
      const number = parseCrl(input).number.toString(16).toUpperCase();
      return [`crlNumber=0x${number.length % 2 === 0 ? number : `0${number}`}`];
    },
  },
  request: { command: ['req', '-inform', 'DER', '-noout', '-verify', '-in'], expected: (input) => [`verify OK: ${possessed(input)}`] },
};

export const isJudged = (target: string): boolean => target in judges;

/**
 * Whether OpenSSL reads an input that we took, and reads the same in it. It may refuse one: we do not look into every
 * value that we carry (an attribute of a name, an extension that nobody asked for), and OpenSSL looks into others.
 */
export function opensslSays(folder: string, target: string, input: Buffer): 'the same' | 'refused' | string {
  const { command, expected } = judges[target]!;
  const path = join(folder, 'input');
  writeFileSync(path, input);
  const { stdout, stderr } = spawnSync('openssl', [...command, path], { encoding: 'utf8' });
  const text = `${stdout}${stderr}`;
  // Of a signature that does not verify it says one thing or another.
  const said = target === 'request' ? `${text}verify OK: ${text.includes('verify OK')}` : text;
  if (/could not read|unable to load/i.test(said)) return 'refused';
  const missing = expected(input).filter((line) => !said.includes(line));
  return missing.length === 0 ? 'the same' : `not ${missing.join(', ')} but ${said}`;
}
