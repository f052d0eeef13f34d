import { isPkiError } from '@fleetroot/core';
import { type ParsedTbs, parseTbs } from '../certificate/tbs.ts';
import type { LintContext, LintFinding, LintRule, LintSubject } from './rule.ts';
import { rules } from './rules.ts';

/**
 * Every rule against one TBSCertificate, before it is signed. Empty: nothing is wrong. What cannot be taken apart, or
 * writes out a DEFAULT that DER leaves out, is the one finding `well-formed`. Takes microseconds and never throws.
 */
export function lintCertificate(tbsDer: Uint8Array, context: LintContext): LintFinding[] {
  let tbs: ParsedTbs;
  try {
    tbs = parseTbs(tbsDer, 'certificate.malformed', 'refuse-defaults');
  } catch (error) {
    const detail = isPkiError(error) ? error.message : 'cannot be read';
    return [{ rule: 'well-formed', severity: 'error', citation: 'RFC 5280 section 4.1', detail }];
  }
  const subject = lintSubject(tbsDer, tbs, context);
  const findings: LintFinding[] = [];
  for (const { name, severity, citation, check } of rules) {
    const detail = attempt(check, subject);
    if (detail !== undefined) findings.push({ rule: name, severity, citation, detail });
  }
  return findings;
}

/** What a rule cannot read breaks it. */
function attempt(check: LintRule['check'], subject: LintSubject): string | undefined {
  try {
    return check(subject);
  } catch (error) {
    return isPkiError(error) ? error.message : 'cannot be checked';
  }
}

/** What rules look at. */
export function lintSubject(tbsDer: Uint8Array, tbs: ParsedTbs, { issuer, kind, maxOctets }: LintContext): LintSubject {
  const { subjectDer, spkiDer, notAfter, subjectKeyIdentifier } = issuer ?? {
    ...tbs, notAfter: tbs.notAfter.date, subjectKeyIdentifier: tbs.known.subjectKeyIdentifier,
  };
  return {
    tbsDer, tbs, kind, maxOctets, selfSigned: issuer === undefined, issuer: { subjectDer, spkiDer, notAfter, subjectKeyIdentifier },
  };
}
