export { type KeyAlgorithm, keyAlgorithms } from './key-algorithm.ts';
export { openSigner, type Signer, type SignerOptions } from './signer.ts';
export { findToken, initToken, openToken, type Token, type TokenFacts, type TokenKey } from './token.ts';
export { type AdministeredToken, startTokenProcess, type TokenProcess } from './token-process.ts';
