import type { RequestItem } from '@fleetroot/authority';
import type { ErrorCode, LedgerKey } from '@fleetroot/core';
import type { Queryable, Transaction } from '../database.ts';
import { NewRows } from '../new-rows.ts';
import { numberList } from '../packed.ts';
import { forgetVehicles, registerVehicles, vinIndex } from './vehicles.ts';

export type EcuConflict = Extract<ErrorCode, 'ecu.part-number-conflict' | 'ecu.lot-conflict' | 'ecu.vehicle-conflict'>;

export interface ConflictingItem {
  readonly ordinal: number;
  readonly code: EcuConflict;
}

type EcuItem = RequestItem & Required<Pick<RequestItem, 'ecuSerial'>>;
type VehicleOf = (item: EcuItem) => bigint | null;

interface EcuRow {
  readonly serial: string;
  readonly part_number: string;
  readonly lot: string | null;
  readonly vehicle_id: bigint | null;
}

/**
 * Puts the vehicles and ECUs that the items name on record, and returns the items whose ECU is there with another part
 * number, of another lot or in another vehicle; those leave nothing behind. Rows are taken in one order by every transaction (vehicles,
 * then ECUs, each sorted), so that two of them never wait for each other.
 */
export async function registerEcus(tx: Transaction, key: LedgerKey, items: readonly RequestItem[]): Promise<ConflictingItem[]> {
  const ecus = items.filter((item): item is EcuItem => item.ecuSerial !== undefined);
  if (ecus.length === 0) return [];
  const vehicles = await registerVehicles(tx, key, new Set(ecus.flatMap(({ vin }) => (vin === undefined ? [] : [vin]))));
  const vehicleOf: VehicleOf = ({ vin }) => (vin === undefined ? null : vehicles.ids.get(vin) ?? null);
  const known = await registerRows(tx, ecus, vehicleOf);
  // Each is new, and in the item's own vehicle.
  if (known === 'all new') return [];
  const inUse = new Set([...known.values()].map(({ vehicle_id }) => vehicle_id));
  await forgetVehicles(tx, [...vehicles.fresh].filter((id) => !inUse.has(id)));
  return ecus.flatMap((item) => {
    const row = known.get(item.ecuSerial);
    if (row === undefined) return [];
    const vehicleId = vehicleOf(item);
    const code = conflict(item, row, vehicleId !== null && row.vehicle_id !== vehicleId);
    return code === undefined ? [] : [{ ordinal: item.ordinal, code }];
  });
}

const newEcus = new NewRows();

/** The ECUs' rows as they are now, by serial; or that none was on record, which most chunks of a line find. */
async function registerRows(tx: Transaction, ecus: readonly EcuItem[], vehicleOf: VehicleOf): Promise<ReadonlyMap<string, EcuRow> | 'all new'> {
  const sorted = [...ecus].sort((a, b) => (a.ecuSerial < b.ecuSerial ? -1 : a.ecuSerial > b.ecuSerial ? 1 : a.ordinal - b.ordinal));
  // What a request says nothing of is not put on record: no part number, no ECU.
  const full = sorted.filter(({ partNumber }) => partNumber !== undefined);
  const added = await newEcus.insert(
    tx, full.length, 'INSERT INTO ecu (serial, part_number, vehicle_id, lot) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])', 'serial',
    [full.map(({ ecuSerial }) => ecuSerial), full.map(({ partNumber }) => partNumber), numberList(full.map(vehicleOf)), full.map(({ lot }) => lot ?? null)]);
  if (added === sorted.length) return 'all new';
  return new Map((await completeKnown(tx, sorted, vehicleOf)).map((known) => [known.serial, known]));
}

/** ECUs on record before; one that had no vehicle yet (it registered itself), or no lot, gets the item's. */
async function completeKnown(tx: Queryable, sorted: readonly EcuItem[], vehicleOf: VehicleOf): Promise<readonly EcuRow[]> {
  const placed = sorted.filter((item) => item.partNumber !== undefined && vehicleOf(item) !== null);
  await tx.query(
    `UPDATE ecu SET vehicle_id = given.vehicle_id
     FROM (SELECT DISTINCT ON (serial) * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS g(serial, part_number, vehicle_id, lot)) AS given
     WHERE ecu.serial = given.serial AND ecu.vehicle_id IS NULL AND ecu.part_number = given.part_number AND (ecu.lot = given.lot) IS NOT FALSE`,
    [placed.map(({ ecuSerial }) => ecuSerial), placed.map(({ partNumber }) => partNumber), placed.map(vehicleOf), placed.map(({ lot }) => lot ?? null)]);
  await completeLots(tx, sorted.filter(({ partNumber, lot }) => partNumber !== undefined && lot !== undefined), vehicleOf);
  return tx.query<EcuRow>('SELECT serial, part_number, lot, vehicle_id FROM ecu WHERE serial = ANY($1::text[])', [sorted.map(({ ecuSerial }) => ecuSerial)]);
}

async function completeLots(tx: Queryable, items: readonly EcuItem[], vehicleOf: VehicleOf): Promise<void> {
  if (items.length === 0) return;
  await tx.query(
    `UPDATE ecu SET lot = given.lot
     FROM (SELECT DISTINCT ON (serial) * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS g(serial, part_number, vehicle_id, lot)) AS given
     WHERE ecu.serial = given.serial AND ecu.lot IS NULL AND ecu.part_number = given.part_number AND (ecu.vehicle_id = given.vehicle_id) IS NOT FALSE`,
    [items.map(({ ecuSerial }) => ecuSerial), items.map(({ partNumber }) => partNumber), items.map(vehicleOf), items.map(({ lot }) => lot)]);
}

/** Whether the item's ECU is on record otherwise, as of now; stores nothing. */
export async function conflictOnRecord(tx: Queryable, key: LedgerKey, item: RequestItem): Promise<EcuConflict | undefined> {
  if (item.ecuSerial === undefined) return undefined;
  const [row] = await tx.query<Pick<EcuRow, 'part_number' | 'lot'> & { vin_index: Buffer | null }>(
    'SELECT e.part_number, e.lot, v.vin_index FROM ecu e LEFT JOIN vehicle v ON v.id = e.vehicle_id WHERE e.serial = $1', [item.ecuSerial]);
  if (row === undefined) return undefined;
  const elsewhere = item.vin !== undefined && row.vin_index !== null && !vinIndex(key, item.vin).equals(row.vin_index);
  return conflict(item, row, elsewhere);
}

function conflict(item: RequestItem, known: Pick<EcuRow, 'part_number' | 'lot'>, elsewhere: boolean): EcuConflict | undefined {
  if (item.partNumber !== undefined && item.partNumber !== known.part_number) return 'ecu.part-number-conflict';
  if (item.lot !== undefined && known.lot !== null && item.lot !== known.lot) return 'ecu.lot-conflict';
  return elsewhere ? 'ecu.vehicle-conflict' : undefined;
}
