export { answerOcsp, type OcspDeps, type OcspSigner } from './answer.ts';
export { decodeOcspGetPath } from './get-path.ts';
