import { bitString, header, tag } from '../../der/writer.ts';
import { type PublicKeyFacts, publicKeyFacts } from '../../key/public-key.ts';
import type { LintRule } from '../rule.ts';

/** Octets of the longest signature in X.509 form: ECDSA is two INTEGERs of the order's size, with a sign octet where it may need one. */
const longest = { 'p-256': 72, 'p-384': 104, 'p-521': 139, ed25519: 64 } as const;

/** Controllers of charging have little room: the profile says how many octets. A signature counts at its longest. */
export const certificateSize: LintRule = {
  name: 'certificate-size',
  severity: 'error',
  citation: 'Fleetroot: the size budget of a profile, 800 octets for ISO 15118',
  check: (subject) => {
    if (subject.maxOctets === undefined) return undefined;
    const { tbsDer, tbs, issuer, maxOctets } = subject;
    const signature = new Uint8Array(signatureOctets(publicKeyFacts(issuer.spkiDer, 'certificate.malformed')));
    const content = tbsDer.length + tbs.algorithmDer.length + bitString(signature).length;
    const octets = header(tag.sequence, content).length + content;
    return octets > maxOctets ? `the certificate may have ${octets} octets, over the budget of ${maxOctets}` : undefined;
  },
};

const signatureOctets = ({ keyType, bits }: PublicKeyFacts): number => (keyType === 'rsa' ? (bits + 7) >> 3 : longest[keyType]);
