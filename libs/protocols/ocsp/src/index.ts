export { decodeOcspGetPath } from './get-path.ts';
export type { AskedSerial, OcspDeps, OcspLedger, OcspSigner, RecordedSerial, StoredAnswer } from './ports.ts';
export type { OcspReply, ReplySource, SignedAnswer } from './reply.ts';
export { OcspResponder } from './responder.ts';
