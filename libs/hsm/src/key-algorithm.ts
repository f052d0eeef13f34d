/** What a key pair can be generated as. */
export const keyAlgorithms = ['p-256', 'p-384', 'p-521', 'ed25519', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;

export type KeyAlgorithm = (typeof keyAlgorithms)[number];
