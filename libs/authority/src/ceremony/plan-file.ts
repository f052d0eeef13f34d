import { dirname, resolve } from 'node:path';
import { isPkiError, PkiError, serialToBytes } from '@fleetroot/core';
import {
  type AttributeTypeName, type CertificationRequest, decodePem, looksLikePem, type NamePart, type ParsedCertificate, parseCertificate,
  readRequest, verifyPossession,
} from '@fleetroot/x509';
import { revocationReasons } from '../ports/status.ts';
import type { AuthorityProfile } from '../profile/authority-profile.ts';
import { readYaml, type YamlFault } from '../yaml/read.ts';
import { approvalAlgorithm, type Officer } from './approval.ts';
import { sha256Of } from './digest.ts';
import type { CeremonyPlan, PlannedAuthority, PlannedKey, PlannedTerms } from './plan.ts';
import { planFaults } from './plan-faults.ts';
import { type PlanFile, planForm } from './plan-form.ts';

/** What a plan refers to. */
export interface PlanSurroundings {
  /** Profiles of the kind `ca`, by name. */
  readonly profiles: ReadonlyMap<string, AuthorityProfile>;
  /** The octets of a file that the plan names; the path is absolute. What it throws is told with the plan's line. */
  readFile(path: string): Uint8Array;
}

const alone: PlanSurroundings = {
  profiles: new Map(),
  readFile: () => {
    throw new Error('this plan is read without other files');
  },
};

/**
 * Reads the plan of a ceremony, and the files that it names, relative to it. Requests must prove possession of their keys.
 * @throws PkiError `ceremony.invalid` that names file, line and remedy of every fault
 */
export function parseCeremonyPlan(yamlText: string, fileName: string, surroundings: PlanSurroundings = alone): CeremonyPlan {
  const { value, refuseIf } = readYaml(yamlText, fileName, planForm, 'ceremony.invalid');
  const files = new PlanFiles(dirname(resolve(fileName)), surroundings);
  const plan: CeremonyPlan = {
    title: value.ceremony, sha256: sha256Of(yamlText), inputs: files.inputs, approvals: value.approvals,
    officers: value.officers.flatMap((each, i) => files.officer(each, i)),
    authorities: value.authorities.flatMap((each, i) => files.authority(each, i)),
    requests: value.requests.map(({ name, key, subject }) => ({ name, key, subject: nameParts(subject) })),
    renewals: value.renewals,
    crossCertificates: value.crossCertificates.flatMap((each, i) => files.cross(each, i)),
    crls: value.crls.map(({ authority, days, revoked }) => ({
      authority, days,
      revoked: revoked.map(({ serial, revokedAt, reason, invalidityDate }) => ({
        serial: serialToBytes(serial), revokedAt, reason: revocationReasons[reason], reasonName: reason, invalidityDate,
      })),
    })),
    ocspSigners: value.ocspSigners.flatMap((each, i) => files.ocspSigner(each, i)),
    refuseIf,
  };
  refuseIf([...files.faults, ...planFaults(value, plan)]);
  return plan;
}

const nameParts = (subject: Partial<Record<AttributeTypeName, string>>): NamePart[] =>
  Object.entries(subject).map(([type, value]) => ({ type: type as AttributeTypeName, value }));

type Path = readonly PropertyKey[];

/** The entries of a plan with the files that they name; an entry with a fault is left out, and the fault kept. */
class PlanFiles {
  readonly faults: YamlFault[] = [];
  readonly inputs: { file: string; sha256: string }[] = [];
  readonly #dir: string;
  readonly #surroundings: PlanSurroundings;

  constructor(dir: string, surroundings: PlanSurroundings) {
    this.#dir = dir;
    this.#surroundings = surroundings;
  }

  officer({ name, publicKey, publicKeyFile }: PlanFile['officers'][number], i: number): Officer[] {
    const path = ['officers', i];
    if ((publicKey === undefined) === (publicKeyFile === undefined)) return this.#fault(path, 'must have either publicKey or publicKeyFile');
    const read = (content: Uint8Array | string): Officer => {
      const officer = { name, spkiDer: onePem(content, 'PUBLIC KEY') };
      approvalAlgorithm(officer);
      return officer;
    };
    return publicKey === undefined
      ? this.#read([...path, 'publicKeyFile'], publicKeyFile ?? '', read)
      : this.#attempt([...path, 'publicKey'], () => read(publicKey));
  }

  authority(each: PlanFile['authorities'][number], i: number): PlannedAuthority[] {
    const path = ['authorities', i];
    const [key] = this.#key(each, path);
    const terms = key !== undefined && 'certificate' in key ? undefined : this.#terms(each, path);
    if (key === undefined || (terms === undefined && !('certificate' in key))) return [];
    const { name, parent, succeeds, labels, signatureAlgorithm } = each;
    return [{ name, parent, key, terms, succeeds, labels, signatureAlgorithm }];
  }

  cross({ subject, certificate, issuer, years, pathLength }: PlanFile['crossCertificates'][number], i: number): CeremonyPlan['crossCertificates'][number][] {
    const path = ['crossCertificates', i];
    if ((subject === undefined) === (certificate === undefined)) return this.#fault(path, 'must have either subject or certificate');
    const whom = subject === undefined
      ? this.#read([...path, 'certificate'], certificate ?? '', readCertificate).map((read) => ({ certificate: read, stem: stemOf(certificate ?? '') }))
      : [subject];
    return whom.map((each) => ({ subject: each, issuer, years, pathLength }));
  }

  ocspSigner({ issuer, request, subject, days }: PlanFile['ocspSigners'][number], i: number): CeremonyPlan['ocspSigners'][number][] {
    return this.#request(['ocspSigners', i, 'request'], request).map((read) => ({
      issuer, request: read, days, subject: subject === undefined ? [{ type: 'commonName', value: `OCSP signer of ${issuer}` }] : nameParts(subject),
    }));
  }

  #key({ key, request, certificate }: PlanFile['authorities'][number], path: Path): PlannedKey[] {
    if ([key, request, certificate].filter((each) => each !== undefined).length !== 1) {
      return this.#fault([...path, 'key'], 'must be there, or instead of it request or certificate: exactly one of the three');
    }
    if (key !== undefined) return [{ make: key }];
    return request === undefined
      ? this.#read([...path, 'certificate'], certificate ?? '', readCertificate).map((read) => ({ certificate: read }))
      : this.#request([...path, 'request'], request).map((read) => ({ request: read }));
  }

  #terms({ profile: name, subject, years, pathLength }: PlanFile['authorities'][number], path: Path): PlannedTerms | undefined {
    if (subject === undefined) this.#fault([...path, 'subject'], 'is missing: add it');
    const parts = nameParts(subject ?? {});
    if (name === undefined) {
      if (years === undefined) this.#fault([...path, 'years'], 'must be a number of years: add it, or a profile');
      if (pathLength === undefined) this.#fault([...path, 'pathLength'], 'must be a number: add it, or a profile');
      return { subject: parts, years: years ?? 1, pathLength: pathLength ?? 0 };
    }
    for (const [field, given] of Object.entries({ years, pathLength })) {
      if (given !== undefined) this.#fault([...path, field], 'is what the profile says: remove it');
    }
    const profile = this.#surroundings.profiles.get(name);
    if (profile !== undefined) return { profile, subject: parts };
    const names = [...this.#surroundings.profiles.keys()];
    this.#fault([...path, 'profile'], `is not a profile of the kind ca: ${names.length === 0 ? 'there is none' : `use one of ${names.join(', ')}`}`);
    return undefined;
  }

  #request(path: Path, file: string): CertificationRequest[] {
    return this.#read(path, file, (content) => {
      const request = readRequest(content);
      verifyPossession(request);
      return request;
    });
  }

  #read<T>(path: Path, file: string, read: (content: Uint8Array) => T): T[] {
    let content: Uint8Array;
    try {
      content = this.#surroundings.readFile(resolve(this.#dir, file));
    } catch (error) {
      return this.#fault(path, `${file} cannot be read: ${error instanceof Error ? error.message : 'unknown'}`);
    }
    this.inputs.push({ file, sha256: sha256Of(content) });
    return this.#attempt(path, () => read(content));
  }

  #attempt<T>(path: Path, work: () => T): T[] {
    try {
      return [work()];
    } catch (error) {
      if (isPkiError(error)) return this.#fault(path, error.message);
      throw error;
    }
  }

  #fault(path: Path, what: string): [] {
    this.faults.push({ path, what });
    return [];
  }
}

/** The one PEM block of a text. @throws PkiError `ceremony.invalid` */
function onePem(content: Uint8Array | string, label: string): Uint8Array {
  const blocks = decodePem(typeof content === 'string' ? content : Buffer.from(content).toString('latin1'), 'ceremony.invalid');
  const [block] = blocks;
  if (block === undefined || blocks.length !== 1 || block.label !== label) {
    throw new PkiError('ceremony.invalid', `must be one PEM block, -----BEGIN ${label}-----`);
  }
  return block.der;
}

function readCertificate(content: Uint8Array): ParsedCertificate {
  const text = Buffer.from(content).toString('latin1');
  return parseCertificate(looksLikePem(text) ? onePem(content, 'CERTIFICATE') : content);
}

/** A file's name as the beginning of another: `root.cer` is `root`. */
const stemOf = (file: string): string => {
  const stem = file.replace(/^.*[/\\]/, '').replace(/\.[^.]*$/, '').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  return stem === '' ? 'ca' : stem.slice(0, 64);
};
