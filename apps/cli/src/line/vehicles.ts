import { type EcuSerial, ecuSerial, type PartNumber, partNumber, type RandomBytes, type Vin, vin, vinCheckDigit } from '@fleetroot/core';
import { type Part, parts } from './parts.ts';

export interface PlannedEcu {
  readonly serial: EcuSerial;
  readonly partNumber: PartNumber;
  readonly vin: Vin;
}

export interface PlannedVehicle {
  readonly vin: Vin;
  readonly ecus: readonly PlannedEcu[];
}

/** World manufacturer identifier, in a range that no maker has been given, and model year 2026 (ISO 3779, 49 CFR 565.15). */
const MAKER = 'ZZ9';
const MODEL_YEAR = 'T';
/** What a VIN may hold, without the letters that read like digits. */
const VIN_ALPHABET = '0123456789ABCDEFGHJKLMNPRSTUVWXYZ';

/** `length` characters of the alphabet, without bias: what would favour its beginning is thrown away. */
function randomText(random: RandomBytes, alphabet: string, length: number): string {
  const limit = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length) {
    for (const byte of random(2 * length)) {
      if (byte < limit && text.length < length) text += alphabet[byte % alphabet.length];
    }
  }
  return text;
}

/** What sets the vehicles of one run apart from those of all others. */
export const newRun = (random: RandomBytes): string => randomText(random, VIN_ALPHABET, 5);

/**
 * One vehicle with these parts. Its ECUs' serials are random, so that a line that runs again on the same ledger builds others.
 * @param sequence of the vehicle within its run, from 1
 */
export function planVehicle(run: string, sequence: number, fitted: readonly Part[], random: RandomBytes): PlannedVehicle {
  const draft = `${MAKER}${run}0${MODEL_YEAR}F${String(sequence).padStart(6, '0')}`;
  const number = vin(`${draft.slice(0, 8)}${vinCheckDigit(draft)}${draft.slice(9)}`);
  return {
    vin: number,
    ecus: fitted.map((each) => ({
      serial: ecuSerial(`${each.name}-${randomText(random, VIN_ALPHABET, 12)}`), partNumber: partNumber(each.partNumber), vin: number,
    })),
  };
}

/** `ecus` ECUs in vehicles of as many as there are parts; the last vehicle takes the rest. */
export function planVehicles(ecus: number, random: RandomBytes): PlannedVehicle[] {
  const vehicles: PlannedVehicle[] = [];
  const run = newRun(random);
  for (let planned = 0; planned < ecus; planned += parts.length) {
    vehicles.push(planVehicle(run, vehicles.length + 1, parts.slice(0, ecus - planned), random));
  }
  return vehicles;
}
