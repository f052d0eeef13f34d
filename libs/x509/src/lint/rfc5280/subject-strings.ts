import { tag } from '../../der/writer.ts';
import { attributeTypes } from '../../name/attribute-types.ts';
import { type NameAttribute, parseName, stringTag } from '../../name/name.ts';
import type { LintRule } from '../rule.ts';

/** String types and upper bounds of the attributes that RFC 5280 appendix A.1 knows; others pass. */
export const subjectStrings: LintRule = {
  name: 'subject-strings',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.4 and appendix A.1',
  check: ({ tbs }) => parseName(tbs.subjectDer, 'certificate.malformed').map(wrong).find((found) => found !== undefined),
};

function wrong({ type, value, der }: NameAttribute): string | undefined {
  if (type === undefined) return undefined;
  if (value === undefined) return `${type} is not a string`;
  const expected = stringTag(type, value);
  // Text of PrintableString's characters may stand in a UTF8String too, save where the type allows PrintableString alone.
  const alternative = attributeTypes[type].form === 'directory' ? tag.utf8String : expected;
  return der[0] === expected || der[0] === alternative ? undefined : `${type} is not in the string type that it should be in`;
}
