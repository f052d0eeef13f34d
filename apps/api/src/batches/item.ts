import { checkRequestAgainstProfile, type FailedItem, type Profile, type RequestItem } from '@fleetroot/authority';
import { ecuSerial, isPkiError, lot, partNumber, PkiError, vin } from '@fleetroot/core';
import { type BlockedKeys, type CertificationRequest, readRequest, refuseBlockedKey, spkiSha256 } from '@fleetroot/x509';

/** A request as it was sent: the form is checked, the contents are not. */
export interface SentItem {
  readonly ecuSerial?: string;
  readonly vin?: string;
  readonly partNumber?: string;
  readonly lot?: string;
  /** PEM, or base64 of the DER. */
  readonly csr: string;
}

const FIELDS = ['ecuSerial', 'vin', 'partNumber', 'lot', 'csr'] as const;

/**
 * The form of one item. Written by hand since it runs for each line of a batch.
 * @param where `line 7`, `item 3`: names the culprit to the sender
 * @throws PkiError `batch.line-invalid`
 */
export function sentItem(value: unknown, where: string, data: Readonly<Record<string, number>>): SentItem {
  const refuse = (what: string): never => {
    throw new PkiError('batch.line-invalid', `${where} ${what}`, { data });
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('is not a JSON object');
  for (const key of Object.keys(value)) {
    if (!(FIELDS as readonly string[]).includes(key)) refuse(`has a field that is none of ${FIELDS.join(', ')}`);
  }
  const fields = value as Record<(typeof FIELDS)[number], unknown>;
  for (const field of FIELDS) {
    const given = fields[field];
    if (given !== undefined && typeof given !== 'string') refuse(`has a ${field} that is not a string`);
  }
  if (fields.csr === undefined) refuse('has no csr');
  return fields as SentItem;
}

/** @throws PkiError `batch.line-invalid` */
export function sentItemOfLine(line: Buffer, number: number): SentItem {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    // The parser's message quotes the line.
    throw new PkiError('batch.line-invalid', `line ${number} is not JSON`, { data: { line: number } });
  }
  return sentItem(value, `line ${number}`, { line: number });
}

/**
 * The item as the ledger takes it, its request read and allowed by the profile. Whether the request is signed by its key
 * is left to the issuer.
 * @throws PkiError `ecu.serial-invalid`, `ecu.part-number-invalid`, `ecu.lot-invalid`, `vin.invalid`, `request.*`, `profile.field-missing`
 */
export function checkedItem(sent: SentItem, ordinal: number, profile: Profile): RequestItem {
  return checked(sent, ordinal, profile).item;
}

function checked(sent: SentItem, ordinal: number, profile: Profile): { item: RequestItem; request: CertificationRequest } {
  const facts = {
    ...(sent.ecuSerial === undefined ? {} : { ecuSerial: ecuSerial(sent.ecuSerial) }),
    ...(sent.partNumber === undefined ? {} : { partNumber: partNumber(sent.partNumber) }),
    ...(sent.lot === undefined ? {} : { lot: lot(sent.lot) }),
    ...(sent.vin === undefined ? {} : { vin: vin(sent.vin) }),
  };
  if (facts.lot !== undefined && (facts.ecuSerial === undefined || facts.partNumber === undefined)) {
    throw new PkiError('ecu.lot-invalid', 'a lot is of an ECU: it goes with ecuSerial and partNumber');
  }
  // The serial, the part number and the lot are kept and logged in clear, which a VIN must not be.
  if (facts.vin !== undefined && ([facts.ecuSerial, facts.partNumber, facts.lot] as (string | undefined)[]).includes(facts.vin)) {
    throw new PkiError('ecu.serial-invalid', 'the VIN stands in the place of the ECU serial, the part number or the lot');
  }
  const request = readRequest(sent.csr);
  checkRequestAgainstProfile(profile, facts, request);
  return { item: { ordinal, ...facts, csr: request.der }, request };
}

/** As `checkedItem`, with the item's own fault as a failure; a blocked key is one too. */
export function itemOrFailure(
  sent: SentItem, ordinal: number, profile: Profile, blockedKeys: BlockedKeys,
): { item: RequestItem } | { failure: FailedItem } {
  try {
    const { item, request } = checked(sent, ordinal, profile);
    if (blockedKeys.count > 0) refuseBlockedKey(spkiSha256(request.spkiDer), blockedKeys);
    return { item };
  } catch (error) {
    if (!isPkiError(error)) throw error;
    return { failure: { ordinal, code: error.code, detail: error.message } };
  }
}
