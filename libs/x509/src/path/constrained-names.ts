import type { ParsedCertificate } from '../certificate/certificate.ts';
import { extensionOids } from '../certificate/oids.ts';
import { DerReader } from '../der/reader.ts';
import { tag } from '../der/writer.ts';
import { parseName } from '../name/name.ts';
import { readName } from './name-constraints.ts';
import type { ConstrainedName } from './name-forms.ts';

/** A certificate, or what is to become one, with its subject in comparable form. */
interface NamedCertificate {
  readonly certificate: Pick<ParsedCertificate, 'subjectDer' | 'extensions'>;
  readonly subject: readonly string[];
}

/**
 * The names of a certificate that name constraints hold for: the subject unless it is empty, every subjectAltName,
 * and, where there is none of those, mail addresses in the subject (RFC 5280 section 4.2.1.10).
 * @throws PkiError `certificate.malformed`
 */
export function constrainedNames({ certificate, subject }: NamedCertificate): ConstrainedName[] {
  const names: ConstrainedName[] = subject.length === 0 ? [] : [{ form: 4, value: subject }];
  const extension = certificate.extensions.find(({ oid }) => oid === extensionOids.subjectAltName);
  if (extension === undefined) return [...names, ...mailInSubject(certificate)];
  const input = new DerReader(extension.value, 'certificate.malformed');
  const list = input.enter(tag.sequence, 'subjectAltName');
  input.end('subjectAltName');
  while (!list.atEnd) names.push(readName(list));
  return names;
}

const mailInSubject = ({ subjectDer }: NamedCertificate['certificate']): ConstrainedName[] =>
  parseName(subjectDer, 'certificate.malformed')
    .filter(({ type }) => type === 'emailAddress')
    .map(({ value }) => ({ form: 1, value: Buffer.from(value ?? '', 'latin1') }));
