import { createHash } from 'node:crypto';

/** Lower-case hex. */
export const sha256Of = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');

/** Octets of lower-case hex. */
export const octets = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
