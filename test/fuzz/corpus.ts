import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { decodePem, encodePem, looksLikePem } from '@fleetroot/x509';

const root = join(import.meta.dirname, '..', '..');
const folder = (...path: string[]): string[] => {
  const at = join(root, ...path);
  return readdirSync(at).sort().map((name) => join(at, name));
};
const files = (...path: string[]): Buffer[] => folder('test', 'corpus', ...path).map((path) => readFileSync(path));

/** DER of a file of the corpus of requests, which has some in PEM, and some that is neither. */
function unwrapped(file: Buffer): Buffer[] {
  const text = file.toString('latin1');
  if (!looksLikePem(text)) return [file];
  try {
    return decodePem(text, 'request.pem-invalid').map(({ der }) => Buffer.from(der));
  } catch {
    return [file];
  }
}

/** What the fuzzer begins from. test/corpus/fuzz/README.md says how the files were made. */
export function readCorpus() {
  const requestFiles = [...files('csr', 'good'), ...files('csr', 'bad')];
  const requests = requestFiles.flatMap(unwrapped).filter((der) => der.length > 0 && der.length < 8192);
  const certificates = files('fuzz', 'certificate');
  const crls = files('fuzz', 'crl');
  const ocspRequests = files('fuzz', 'ocsp');
  const cms = files('fuzz', 'cms');
  return {
    requests, certificates, crls, ocspRequests, cms,
    all: [...requests, ...certificates, ...crls, ...ocspRequests, ...cms],
    pem: [
      ...requestFiles.map((file) => file.toString('latin1')).filter(looksLikePem),
      certificates.map((der) => encodePem('CERTIFICATE', der)).join('\n'),
      `text before\r\n${encodePem('X509 CRL', crls[0]!).replaceAll('\n', '\r\n')}`,
    ],
    ocspPaths: ocspRequests.flatMap((der) => [encodeURIComponent(der.toString('base64')), `/${der.toString('base64')}`, der.toString('base64url')]),
    profiles: folder('hsm-config', 'profiles').map((path) => readFileSync(path, 'utf8')),
    /** Inputs that once broke something; the name of such a file begins with its target's. */
    found: (target: string): Buffer[] =>
      folder('test', 'corpus', 'fuzz', 'found').filter((path) => basename(path).startsWith(`${target}.`)).map((path) => readFileSync(path)),
  };
}

export type Corpus = ReturnType<typeof readCorpus>;
