export { concatBytes, copyBytes, equalBytes, fromBase64, fromHex, newOctets, toBase64, toHex, utf8 } from './bytes.ts';
export { Breath } from './breath.ts';
export { sha256 } from './digest.ts';
export { type Clock, type RandomBytes, systemClock, systemRandom } from './clock.ts';
export {
  type CaName, caName, type EcuSerial, ecuSerial, type Lot, lot, type PartNumber, partNumber, type Serial, serialFromBytes,
  serialFromHex, serialToBytes,
} from './ids.ts';
export { isVin, type Vin, vin, vinCheckDigit } from './vin.ts';
export { errorCatalogue, type ErrorCode, type ErrorKind, type Retry } from './error-catalogue.ts';
export { isPkiError, PkiError, type PkiErrorOptions } from './pki-error.ts';
export { Secret } from './secret.ts';
export { type CrashPoint, crashPoint, crashPoints } from './crash-point.ts';
export { LedgerKey, serialDay, type SerialSource } from './ledger-key.ts';
export { NEVER_AGAIN } from './exit-status.ts';
export { replaceFile } from './replace-file.ts';
export { CLOCKS_WITHIN_MS, COMMIT_WITHIN_MS, LATE_COMMIT_MS, STATEMENT_WITHIN_MS } from './late-commit.ts';
export { Lru } from './lru.ts';
