import { equalBytes, fromBase64, PkiError, utf8 } from '@fleetroot/core';
import { algorithmFitsKey, decodePem, encodePem, publicKeyFacts, type SignatureAlgorithm, verifySignature } from '@fleetroot/x509';
import { z } from 'zod';
import { isSameName, isVisibleLine } from './visible.ts';

/** Who may approve a ceremony, and the key that says so. */
export interface Officer {
  readonly name: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array;
}

const approvalForm = z.strictObject({
  officer: z.string().min(1),
  /** SHA-256 of the dry run, hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** When it was taken down; the signature does not cover it. */
  at: z.iso.datetime(),
  /** Of `approvalStatement`, in its X.509 form (ECDSA as DER), base64. */
  signature: z.base64().min(1),
});

export type Approval = Readonly<z.infer<typeof approvalForm>>;

/** What is to be approved, and by how many of whom. */
export interface ToApprove {
  readonly title: string;
  /** SHA-256 of the dry run, hex. */
  readonly sha256: string;
  /** How many officers must approve; 0: none is asked. */
  readonly approvals: number;
  readonly officers: readonly Officer[];
}

const requestForm = z.strictObject({
  title: z.string().min(1), sha256: z.string().regex(/^[0-9a-f]{64}$/), approvals: z.int().min(0),
  officers: z.array(z.strictObject({ name: z.string().min(1), publicKey: z.string() })),
});

/** How far the approvals have come. */
export interface ApprovalCount {
  readonly required: number;
  /** Those that count, an officer once. */
  readonly counted: readonly Approval[];
  /** Officers who have not approved and may. */
  readonly open: readonly string[];
  /** Why others do not count, a line each. */
  readonly remarks: readonly string[];
}

/**
 * What an officer signs: a text that a person can read and `openssl dgst -sign` can sign, so that no software of ours is
 * needed where the officer's key lies.
 * @throws PkiError `ceremony.invalid` where title or name holds a character that cannot be seen
 */
export function approvalStatement({ title, officer, sha256 }: { readonly title: string; readonly officer: string; readonly sha256: string }): Uint8Array {
  // Anything else would let one statement look like another.
  if (!isVisibleLine(title) || !isVisibleLine(officer)) {
    throw new PkiError('ceremony.invalid', 'the title of a ceremony and the names of its officers are one line of visible characters: correct them');
  }
  return utf8([
    'Fleetroot ceremony approval',
    `Ceremony: ${title}`,
    `Officer:  ${officer}`,
    `SHA-256:  ${sha256}`,
    'I have read the dry run of this SHA-256 and approve that exactly this is signed.',
    '',
  ].join('\n'));
}

/** How an officer of this key signs; undefined: not a key for an officer. */
function algorithmOf(spkiDer: Uint8Array): SignatureAlgorithm | undefined {
  const { keyType, bits } = publicKeyFacts(spkiDer, 'ceremony.invalid');
  if (keyType === 'p-256') return 'ecdsa-sha256';
  if (keyType === 'p-384') return 'ecdsa-sha384';
  if (keyType === 'ed25519') return 'ed25519';
  return keyType === 'rsa' && bits >= 3072 && algorithmFitsKey('rsa-sha256', spkiDer) ? 'rsa-sha256' : undefined;
}

/** Half as long: X without Y. */
function isCompressed(spkiDer: Uint8Array): boolean {
  return spkiDer.length < 2 * (publicKeyFacts(spkiDer, 'ceremony.invalid').bits / 8);
}

/**
 * What an officer signs the statement with: ECDSA P-256 with SHA-256, P-384 with SHA-384, Ed25519, RSA of 3072 bits or
 * more with SHA-256 (PKCS #1 v1.5).
 * @throws PkiError `ceremony.invalid`, `request.key-refused` for another key
 */
export function approvalAlgorithm({ name, spkiDer }: Officer): SignatureAlgorithm {
  const algorithm = algorithmOf(spkiDer);
  // The point of an EC key has two encodings: in both, one key would make two officers.
  if (algorithm?.startsWith('ecdsa') === true && isCompressed(spkiDer)) {
    throw new PkiError('ceremony.invalid', `the key of the officer ${name} must be written uncompressed: openssl pkey -pubin -ec_conv_form uncompressed`);
  }
  if (algorithm !== undefined) return algorithm;
  throw new PkiError('ceremony.invalid', `the key of the officer ${name} must be P-256, P-384, Ed25519, or RSA of at least 3072 bits`);
}

/** Whether the approval is this officer's, of this. The hash in it is not looked at: the statement holds what is asked for. */
export function verifyApproval(toApprove: Pick<ToApprove, 'title' | 'sha256'>, officer: Officer, approval: Approval): boolean {
  const signature = fromBase64(approval.signature);
  const statement = approvalStatement({ title: toApprove.title, officer: officer.name, sha256: toApprove.sha256 });
  return signature !== undefined && verifySignature(officer.spkiDer, approvalAlgorithm(officer), statement, signature);
}

/** @throws PkiError `ceremony.invalid` */
export function parseApproval(text: string): Approval {
  try {
    return approvalForm.parse(JSON.parse(text));
  } catch (cause) {
    throw new PkiError('ceremony.invalid', 'it is no approval as `fleetroot ceremony approve` writes them', { cause });
  }
}

/** What goes to the officers beside their statements: JSON, with public keys as PEM. */
export function approvalRequest({ title, sha256, approvals, officers }: ToApprove): string {
  const keys = officers.map(({ name, spkiDer }) => ({ name, publicKey: encodePem('PUBLIC KEY', spkiDer) }));
  return `${JSON.stringify({ title, sha256, approvals, officers: keys }, null, 2)}\n`;
}

/** @throws PkiError `ceremony.invalid` */
export function parseApprovalRequest(text: string): ToApprove {
  try {
    const { officers, ...request } = requestForm.parse(JSON.parse(text));
    return {
      ...request,
      officers: officers.map(({ name, publicKey }) => {
        const [block] = decodePem(publicKey, 'ceremony.invalid');
        if (block === undefined) throw new PkiError('ceremony.invalid', `it holds no public key of ${name}`);
        return { name, spkiDer: block.der };
      }),
    };
  } catch (cause) {
    throw new PkiError('ceremony.invalid', 'it is no request for approvals as a dry run writes them', { cause });
  }
}

/**
 * Looks at each approval: an officer counts once, whoever holds the ceremony does not approve it (I30), and an approval
 * counts for what was signed alone.
 * @param by who holds the ceremony
 */
export function countApprovals(toApprove: ToApprove, approvals: readonly Approval[], by: string): ApprovalCount {
  const counted: Approval[] = [];
  const keys: Uint8Array[] = [];
  const remarks: string[] = [];
  for (const approval of approvals) {
    const officer = toApprove.officers.find(({ name }) => name === approval.officer);
    const fault = faultOf(toApprove, officer, approval, by);
    if (fault !== undefined) remarks.push(`${approval.officer}: ${fault}`);
    else if (officer !== undefined && !keys.some((key) => equalBytes(key, officer.spkiDer))) {
      counted.push(approval);
      keys.push(officer.spkiDer);
    }
  }
  const open = toApprove.officers
    .filter(({ name, spkiDer }) => !isSameName(name, by) && !keys.some((key) => equalBytes(key, spkiDer)))
    .map(({ name }) => name);
  return { required: toApprove.approvals, counted, open, remarks };
}

function faultOf(toApprove: ToApprove, officer: Officer | undefined, approval: Approval, by: string): string | undefined {
  if (officer === undefined) return 'is no officer of this ceremony';
  if (approval.sha256 !== toApprove.sha256) return `has approved another dry run, ${approval.sha256}`;
  if (isSameName(officer.name, by)) return 'holds this ceremony, and nobody approves their own';
  return verifyApproval(toApprove, officer, approval) ? undefined : 'the signature is not this officer\'s over this dry run';
}

/** `2 of 3 approvals: alice, bob; waiting for one of carol, dave`. */
export function describeApprovals({ required, counted, open }: ApprovalCount): string {
  const have = `${counted.length} of ${required} approvals${counted.length === 0 ? '' : `: ${counted.map(({ officer }) => officer).join(', ')}`}`;
  const missing = required - counted.length;
  if (missing <= 0) return have;
  if (open.length < missing) return `${have}; ${missing} more must come, but ${open.length === 0 ? 'no officer is' : `only ${open.join(', ')} is`} left who may approve`;
  return `${have}; waiting for ${missing === 1 ? 'one' : missing} of ${open.join(', ')}`;
}

/**
 * The approvals that count, where they are enough.
 * @param by who holds the ceremony: their own approval does not count (I30)
 * @throws PkiError `ceremony.not-approved` with who approved, who may still, and what was left out and why
 */
export function requireApprovals(toApprove: ToApprove, approvals: readonly Approval[], by: string): readonly Approval[] {
  if (toApprove.approvals === 0) return [];
  const count = countApprovals(toApprove, approvals, by);
  if (count.counted.length >= count.required) return count.counted;
  throw new PkiError('ceremony.not-approved', [describeApprovals(count), ...count.remarks.map((remark) => `not counted: ${remark}`)].join('; '), {
    data: { required: count.required, counted: count.counted.length },
  });
}
