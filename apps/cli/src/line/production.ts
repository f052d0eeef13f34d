import { randomUUID } from 'node:crypto';
import { checkDelivered } from './certificate-check.ts';
import { type EcuRequest, ecuRequest } from './ecu-request.ts';
import type { RestClient } from './rest.ts';
import type { Truststore } from './truststore.ts';
import type { PlannedVehicle } from './vehicles.ts';

/** A certificate that passed the line's check. */
export interface FittedCertificate {
  /** Which vehicle, and which place in it; from 0. */
  readonly vehicle: number;
  readonly place: number;
  readonly ecuSerial: string;
  /** Hexadecimal, as the API writes it. */
  readonly serial: string;
  readonly pem: string;
}

export interface ProductionOptions {
  readonly vehicles: readonly PlannedVehicle[];
  readonly profile: string;
  readonly line: RestClient;
  readonly truststore: Truststore;
  readonly onDone: (certificates: number) => void;
  /** Which certificates to keep for the checks that follow; memory must not grow with the run. */
  readonly keep: (vehicle: number, place: number) => boolean;
}

/** Vehicles whose requests go into one batch, and batches on their way at once. */
const VEHICLES_A_BATCH = 10;
const BATCHES_AT_ONCE = 2;

/**
 * Provisions every ECU: makes its key and request, sends the requests of some vehicles as a batch, fetches every
 * certificate back and checks it. Returns those that `keep` names.
 * @throws Error at the first request that fails, or certificate that is not as it must be
 */
export async function produce(options: ProductionOptions): Promise<FittedCertificate[]> {
  const kept: FittedCertificate[] = [];
  const serials = new Set<string>();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < options.vehicles.length) {
      const first = next;
      next += VEHICLES_A_BATCH;
      for await (const certificate of batch(options, first)) {
        if (serials.has(certificate.serial)) throw new Error(`serial number ${certificate.serial} was issued twice`);
        serials.add(certificate.serial);
        if (options.keep(certificate.vehicle, certificate.place)) kept.push(certificate);
        options.onDone(1);
      }
    }
  };
  await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, work));
  return kept;
}

async function* batch({ vehicles, line, profile, truststore }: ProductionOptions, first: number): AsyncGenerator<FittedCertificate> {
  const sent: (EcuRequest & { readonly vehicle: number; readonly place: number })[] = [];
  const lines = async function* (): AsyncGenerator<string> {
    for (const [offset, vehicle] of vehicles.slice(first, first + VEHICLES_A_BATCH).entries()) {
      let text = '';
      for (const [place, ecu] of vehicle.ecus.entries()) {
        const made = await ecuRequest(ecu);
        text += `${made.line}\n`;
        // The line itself is not needed any more: a long run would keep them all.
        sent.push({ ...made, line: '', vehicle: first + offset, place });
      }
      yield text;
    }
  };
  const id = await line.submitBatch(profile, randomUUID(), lines());
  let received = 0;
  for await (const result of line.results(id)) {
    const asked = sent[received];
    if (asked === undefined || result.ordinal !== received) throw new Error('the results do not come in the order of the requests');
    if (result.outcome === 'failed') throw new Error(`the request of ${asked.ecu.serial} failed: ${result.code} ${result.detail}`);
    const certificate = checkDelivered({ ecu: asked.ecu, spkiDer: asked.spkiDer, certificate: Buffer.from(result.certificate, 'base64') }, truststore, new Date());
    received += 1;
    yield { vehicle: asked.vehicle, place: asked.place, ecuSerial: asked.ecu.serial, serial: result.serial, pem: certificate.toString() };
  }
  if (received !== sent.length) throw new Error(`${sent.length} requests were sent, and ${received} results came back`);
}
