import type { LedgerKey, Vin } from '@fleetroot/core';
import type { Queryable } from '../database.ts';

export interface RegisteredVehicles {
  /** Row ids. */
  readonly ids: ReadonlyMap<Vin, bigint>;
  /** Those that this transaction made. */
  readonly fresh: ReadonlySet<bigint>;
}

interface VehicleRow {
  readonly id: bigint;
  readonly vin_index: Buffer;
}

/** The vehicles' rows, made where they are new; taken in the order of their blind index. */
export async function registerVehicles(tx: Queryable, key: LedgerKey, vins: ReadonlySet<Vin>): Promise<RegisteredVehicles> {
  if (vins.size === 0) return { ids: new Map(), fresh: new Set() };
  const wanted = [...vins].map((vin) => ({ vin, index: vinIndex(key, vin) })).sort((a, b) => Buffer.compare(a.index, b.index));
  const ids = new Map<string, bigint>();
  const note = (rows: readonly VehicleRow[]): void => {
    for (const { id, vin_index } of rows) ids.set(vin_index.toString('hex'), id);
  };
  const missing = () => wanted.filter(({ index }) => !ids.has(index.toString('hex')));
  const find = () => tx.query<VehicleRow>('SELECT id, vin_index FROM vehicle WHERE vin_index = ANY($1::bytea[])', [missing().map(({ index }) => index)]);

  note(await find());
  const unknown = missing();
  const made = unknown.length === 0 ? [] : await tx.query<VehicleRow>(
    `INSERT INTO vehicle (vin_index, vin_sealed) SELECT * FROM unnest($1::bytea[], $2::bytea[])
     ON CONFLICT (vin_index) DO NOTHING RETURNING id, vin_index`,
    [unknown.map(({ index }) => index), unknown.map(({ vin, index }) => sealVin(key, vin, index))]);
  note(made);
  // Another transaction made some meanwhile: a statement of its own sees them.
  if (made.length < unknown.length) note(await find());
  return {
    ids: new Map(wanted.flatMap(({ vin, index }) => {
      const id = ids.get(index.toString('hex'));
      return id === undefined ? [] : [[vin, id]];
    })),
    fresh: new Set(made.map(({ id }) => id)),
  };
}

/** Undoes what this transaction made: nobody else can have seen these rows. */
export async function forgetVehicles(tx: Queryable, ids: readonly bigint[]): Promise<void> {
  if (ids.length > 0) await tx.query('DELETE FROM vehicle WHERE id = ANY($1::bigint[])', [ids]);
}

export function vinIndex(key: LedgerKey, vin: string): Buffer {
  return Buffer.from(key.blindIndex(vin, 'vin'));
}

function sealVin(key: LedgerKey, vin: Vin, index: Buffer): Uint8Array {
  return key.seal(Buffer.from(vin), `vin:${index.toString('hex')}`);
}

/** The VIN of a vehicle's row. */
export function openVin(key: LedgerKey, index: Buffer, sealed: Buffer): string {
  return Buffer.from(key.open(sealed, `vin:${index.toString('hex')}`)).toString('utf8');
}
