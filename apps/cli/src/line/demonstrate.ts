import { systemRandom } from '@fleetroot/core';
import { type Console, count } from '../console.ts';
import type { DataDir } from '../data-dir/layout.ts';
import { readSecret } from '../data-dir/secret-file.ts';
import type { Endpoints } from '../up/endpoints.ts';
import { firstConnection } from './first-connection.ts';
import { Openssl } from './openssl.ts';
import { type FittedCertificate, produce } from './production.ts';
import { progress } from './progress.ts';
import { RestClient } from './rest.ts';
import { revokeVehicle } from './revocation.ts';
import { Truststore } from './truststore.ts';
import { type PlannedVehicle, planVehicles } from './vehicles.ts';

export interface DemonstrationOptions {
  readonly dir: DataDir;
  readonly endpoints: Endpoints;
  readonly ecus: number;
  readonly signal: AbortSignal;
  readonly console: Console;
}

const PROFILE = 'ecu-client';
const TRUSTSTORE = 'ecu-clients';
/** How many certificates OpenSSL looks at as well. */
const SAMPLE = 20;

/**
 * The demonstration line: a production line's day in small, through the public interfaces alone, with its own programs
 * and OpenSSL as judges.
 * @throws Error at the first check that fails
 */
export async function demonstrate({ dir, endpoints, ecus, signal, console }: DemonstrationOptions): Promise<void> {
  const client = (role: string): RestClient => new RestClient(endpoints.api, readSecret(dir.secret(`${role}.token`)) ?? '', signal);
  const openssl = new Openssl();
  const line = (label: string, text: string): void => console.say(`  ${label.padEnd(18)} ${text}`);
  try {
    const vehicles = planVehicles(ecus, systemRandom);
    console.say('');
    console.say(`Demonstration line: ${count(vehicles.length)} ${vehicles.length === 1 ? 'vehicle' : 'vehicles'}, ${count(ecus)} ECUs`);

    const truststore = new Truststore(await client('gateway').text(`/v1/truststores/${TRUSTSTORE}`));
    line('Truststore', `${TRUSTSTORE} pulled by the gateway: ${truststore.size} CAs`);

    const { kept, seconds } = await provision(vehicles, client('line'), truststore, console);
    line('Provisioned', `${count(ecus)} ECUs in ${count(seconds)} s, ${count(ecus / seconds)}/s: keys made, requests sent, certificates fetched and checked`);

    const sample = kept.filter(({ sampled }) => sampled).map(({ pem }, i) => openssl.file(`sample-${i}.pem`, pem));
    const verified = await openssl.verify(openssl.file('anchors.pem', truststore.pem), sample);
    line('openssl verify', `${verified} of ${verified} sampled certificates OK`);

    const vehicle = kept.filter((certificate) => certificate.vehicle === 0);
    const other = kept.find((certificate) => certificate.vehicle > 0) ?? vehicle.pop();
    if (other === undefined) throw new Error('there is no certificate to compare with');
    const revoked = await revokeVehicle({ vehicle, other, security: client('security'), truststore, openssl, signal });
    line('Revoked', `${vehicle.length} certificates of one vehicle, ${count(revoked.certificatesPerSecond)}/s; OCSP said good, then revoked; of another vehicle good`);
    line('CRL', `held them ${count(revoked.crlAfterMs / 1000)} s later (${count(revoked.crlEntries)} entries); openssl verify -crl_check refuses the one, accepts the other`);

    const registered = await firstConnection({ admin: client('admin'), device: endpoints.device, truststore, openssl, signal });
    line('First connection', `${registered.ecuSerial} of ${registered.supplier}: registered by mutual TLS, operational certificate in ${count(registered.milliseconds)} ms; known the second time`);
  } finally {
    openssl.close();
  }
}

interface Kept extends FittedCertificate {
  readonly sampled: boolean;
}

/** Keeps one vehicle whole, for its revocation, and a sample spread over the whole run. */
async function provision(vehicles: readonly PlannedVehicle[], line: RestClient, truststore: Truststore, console: Console): Promise<{ kept: Kept[]; seconds: number }> {
  const starts: number[] = [];
  let total = 0;
  for (const { ecus } of vehicles) {
    starts.push(total);
    total += ecus.length;
  }
  const step = Math.ceil(total / SAMPLE);
  const sampled = (vehicle: number, place: number): boolean => ((starts[vehicle] ?? 0) + place) % step === 0;
  const bar = progress(total, 'certificates', console);
  const began = performance.now();
  try {
    const kept = await produce({
      vehicles, profile: PROFILE, line, truststore, onDone: bar.add,
      keep: (vehicle, place) => vehicle === 0 || sampled(vehicle, place),
    });
    return {
      kept: kept.map((certificate) => ({ ...certificate, sampled: sampled(certificate.vehicle, certificate.place) })),
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    bar.end();
  }
}
