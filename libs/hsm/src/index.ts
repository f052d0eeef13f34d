export { isFaultOfKey } from './cryptoki-error.ts';
export { type KeyAlgorithm, keyAlgorithms } from './key-algorithm.ts';
export { openSigner, type Signer, type SignerOptions, type WantedKey } from './signer.ts';
export { findToken, initToken, openToken, type Token, type TokenFacts, type TokenKey } from './token.ts';
export { type AdministeredToken, startTokenProcess, type TokenProcess } from './token-process.ts';
export { controlLoad, type LoadControl, type LoadSettings } from './load/load-control.ts';
export { readShares } from './load/shares.ts';
