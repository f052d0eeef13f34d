import { createHash } from 'node:crypto';
import { type CaName, caName, isPkiError } from '@fleetroot/core';
import { type AttributeTypeName, attributeTypes, encodeName, type NamePart } from '@fleetroot/x509';
import { z } from 'zod';
import { readYaml, type YamlFault } from '../yaml/read.ts';
import { type CeremonyKeyAlgorithm, ceremonyKeyAlgorithms } from './token.ts';

/** One CA of a ceremony. */
export interface PlannedAuthority {
  readonly name: CaName;
  /** undefined: a root. */
  readonly parent: CaName | undefined;
  readonly key: CeremonyKeyAlgorithm;
  /** One relative distinguished name each, in the order of the file. */
  readonly subject: readonly NamePart[];
  readonly years: number;
  /** How many CAs may follow below in a path (RFC 5280 section 4.2.1.9). */
  readonly pathLength: number;
}

export interface CeremonyPlan {
  readonly title: string;
  /** Parents before their children. */
  readonly authorities: readonly PlannedAuthority[];
  /** SHA-256 of the file, in hex. */
  readonly sha256: string;
}

const subjectTypes = Object.keys(attributeTypes) as AttributeTypeName[];

const authority = z.strictObject({
  name: z.string({ error: 'must be a name such as ecu-issuing' }),
  parent: z.string({ error: 'must be the name of a CA above in this file' }).optional(),
  key: z.enum(ceremonyKeyAlgorithms, { error: `must be one of ${ceremonyKeyAlgorithms.join(', ')}` }),
  subject: z.partialRecord(
    z.enum(subjectTypes as [AttributeTypeName, ...AttributeTypeName[]], { error: `must be one of ${subjectTypes.join(', ')}` }),
    z.string({ error: 'must be text: put it in quotes' }),
    { error: 'must be a list of name parts, "commonName: ..." and so on' },
  ),
  years: z.number({ error: 'must be a number of years' }).int({ error: 'must be a whole number of years' })
    .min(1, { error: 'must be at least 1' }).max(50, { error: 'must be at most 50' }),
  pathLength: z.number({ error: 'must be a number' }).int({ error: 'must be a whole number' })
    .min(0, { error: 'must be 0 or more' }).max(8, { error: 'must be at most 8' }),
});

const file = z.strictObject({
  ceremony: z.string({ error: 'must be the title of the ceremony' }).min(1, { error: 'must not be empty' }),
  authorities: z.array(authority, { error: 'must be a list of CAs' }).min(1, { error: 'must name at least one CA' }),
}, { error: 'must hold the fields "ceremony" and "authorities"' });

type File = z.infer<typeof file>;

/**
 * Reads the plan of a ceremony.
 * @throws PkiError `ceremony.invalid` that names file, line and remedy of every fault
 */
export function parseCeremonyPlan(yamlText: string, fileName: string): CeremonyPlan {
  const { value, refuseIf } = readYaml(yamlText, fileName, file, 'ceremony.invalid');
  refuseIf(planFaults(value));
  return {
    title: value.ceremony,
    authorities: value.authorities.map((each) => ({
      name: caName(each.name),
      parent: each.parent === undefined ? undefined : caName(each.parent),
      key: each.key, years: each.years, pathLength: each.pathLength, subject: nameParts(each.subject),
    })),
    sha256: createHash('sha256').update(yamlText).digest('hex'),
  };
}

const nameParts = (subject: File['authorities'][number]['subject']): NamePart[] =>
  Object.entries(subject).map(([type, value]) => ({ type: type as AttributeTypeName, value }));

function planFaults({ authorities }: File): YamlFault[] {
  const above = new Map<string, File['authorities'][number]>();
  const subjects = new Set<string>();
  return authorities.flatMap((each, i) => {
    const faults: YamlFault[] = [];
    const fault = (field: string, what: string) => faults.push({ path: ['authorities', i, field], what });
    const nameFault = refusal(() => caName(each.name));
    if (nameFault !== undefined) fault('name', `${nameFault}: rename it`);
    if (above.has(each.name)) fault('name', 'stands twice in this file: every CA needs a name of its own');
    const parent = each.parent === undefined ? undefined : above.get(each.parent);
    if (each.parent !== undefined && parent === undefined) fault('parent', 'is not a CA above in this file: put the parent first');
    if (parent !== undefined && each.pathLength >= parent.pathLength) {
      fault('pathLength', `must be less than the parent's, which is ${parent.pathLength}: lower it, or raise the parent's`);
    }
    if (parent !== undefined && each.years > parent.years) fault('years', `must not be more than the parent's ${parent.years}: a CA does not outlive its issuer`);
    if (each.subject.commonName === undefined) fault('subject', 'has no commonName: add one');
    const subjectFault = refusal(() => encodeName(nameParts(each.subject)));
    if (subjectFault !== undefined) fault('subject', `${subjectFault}: correct it`);
    const subject = JSON.stringify(each.subject);
    if (subjects.has(subject)) fault('subject', 'is the name of another CA as well: names of CAs must differ');
    subjects.add(subject);
    above.set(each.name, each);
    return faults;
  });
}

function refusal(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (isPkiError(error)) return error.message;
    throw error;
  }
}
