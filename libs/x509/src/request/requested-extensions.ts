import { PkiError } from '@fleetroot/core';
import type { DerReader } from '../der/reader.ts';
import { tag } from '../der/writer.ts';
import { extensionOids } from '../certificate/oids.ts';
import { readBasicConstraints, readExtensions, readKeyUsage } from '../certificate/read-extension.ts';
import { type GeneralName, parseGeneralNames } from '../name/general-name.ts';

/** PKCS #9 extensionRequest. */
export const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

const code = 'request.malformed';

/**
 * Subject alternative names of the extensions that the attributes ask for.
 * @throws PkiError `request.malformed`; `request.ca-requested` where they ask for the rights of a CA
 */
export function readRequestedNames(attributes: DerReader): GeneralName[] {
  let names: GeneralName[] | undefined;
  while (!attributes.atEnd) {
    const attribute = attributes.enter(tag.sequence, 'attribute');
    const type = attribute.oid('attributeType');
    const values = attribute.enter(tag.set, 'attributeValues');
    attribute.end('attributeValues');
    if (type !== EXTENSION_REQUEST) continue;
    if (names !== undefined) attributes.fail('extensionRequest', 'stands twice');
    const list = values.enter(tag.sequence, 'extensionRequest');
    values.end('extensionRequest');
    names = readNames(list);
  }
  return names ?? [];
}

function readNames(list: DerReader): GeneralName[] {
  const seen = new Set<string>();
  let names: GeneralName[] = [];
  for (const { oid, value } of readExtensions(list)) {
    if (seen.has(oid)) list.fail('extensionRequest', `asks twice for the extension ${oid}`);
    seen.add(oid);
    if (oid === extensionOids.subjectAltName) names = parseGeneralNames(value, code);
    if (asksToBeCa(oid, value)) throw new PkiError('request.ca-requested', 'the request asks for the rights of a CA');
  }
  return names;
}

function asksToBeCa(oid: string, value: Uint8Array): boolean {
  if (oid === extensionOids.basicConstraints) return readBasicConstraints(value, code).ca;
  if (oid !== extensionOids.keyUsage) return false;
  const usages = readKeyUsage(value, code);
  return usages.includes('keyCertSign') || usages.includes('cRLSign');
}
