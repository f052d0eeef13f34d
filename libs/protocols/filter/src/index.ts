export { buildTables, type Tables } from './build.ts';
export { encodeHeader } from './header.ts';
export { type FilterPublication, publishFilter } from './publish.ts';
export {
  type AskedCertificate, type FilterAlgorithm, type FilterAnswer, FilterError, FilterFile, type FilterHeader, Marks, readHeader, RevocationFilter, SerialHash,
} from './reader.ts';
export { Spool } from './spool.ts';
