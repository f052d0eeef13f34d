import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { LedgerKey, Secret } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger, type Running } from '@fleetroot/telemetry';
import { decodePem, extension, parseRequest } from '@fleetroot/x509';
import type { OcspOptions } from '../../apps/status/src/ocsp.ts';
import type { startStatus } from '../../apps/status/src/start.ts';
import { addCa, ceremonyCertificate, event, type RealCa } from './ledger.ts';
import { delegated } from './ocsp-responder.ts';
import { freePort } from './ports.ts';
import { startTestPostgres, type TestPostgres } from './postgres.ts';
import { makeToken, type TestToken } from './softhsm.ts';
import { type CertificateFields, certify, named, type SoftwareCa } from './software-ca.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** A status app over a real ledger and a real token, with a CA whose key is in memory and whose certificates are rows. */
export interface OcspPlant {
  readonly url: string;
  readonly internalUrl: string;
  readonly ca: RealCa;
  readonly store: Store;
  /** The way of the status app to the database. */
  readonly database: TcpProxy;
  /** What the status app logged. */
  readonly lines: readonly string[];
  sql<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Puts another CA on record, with an OCSP signer. */
  add(name: string, fields?: Partial<CertificateFields>): Promise<RealCa>;
  /** Puts a certificate on record, by `ca` unless `of` says otherwise, with random octets for its serial unless one is given. */
  issue(fields?: { readonly notBefore?: Date; readonly notAfter?: Date; readonly unrecorded?: true; readonly of?: RealCa; readonly serial?: Uint8Array }): Promise<SoftwareCa & { readonly serial: Uint8Array }>;
  /** Puts serials on record without certificates to them. */
  record(serials: readonly Uint8Array[]): Promise<void>;
  revoke(serial: Uint8Array, reason?: number, of?: RealCa): Promise<void>;
  release(serial: Uint8Array): Promise<void>;
  /** Ends the status app, and starts another on the same port and token. */
  restart(): Promise<void>;
  metric(line: string): Promise<number>;
  close(): Promise<void>;
}

const hours = (n: number): Date => new Date(Math.floor(Date.now() / 1000) * 1000 + n * 3_600_000);
export const newSerial = (): Uint8Array => new Uint8Array(Buffer.concat([Buffer.of(0x40), randomBytes(15)]));

/** @param startApp of the sources or of the build: decorators are not read from the sources outside the tests */
export async function startOcspPlant(startApp: typeof startStatus, ocsp: Partial<OcspOptions> = {}): Promise<OcspPlant> {
  const [postgres, token] = await Promise.all([startTestPostgres(), makeToken('fleetroot-ocsp')]);
  process.env['SOFTHSM2_CONF'] = token.softhsmConf;
  const store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(randomBytes(32)), pool: 4 });
  const owner = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await owner.connect();
  const sql = async <Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> => (await owner.query<Row>(text, [...values])).rows;
  const ca = await addCa(store, 'ecu-issuing', undefined, { keyId: undefined });
  const profile = (await store.profiles.ensure('ecu-client', '{"name":"ecu-client"}')).id;
  const principal = (await store.principals.put('tester', ['admin'], randomBytes(32), undefined, event('principal.created', 'principal:tester'))).id;

  const database = new TcpProxy(postgres.statusDatabaseUrl.reveal().replace(/^postgres(ql)?:/, 'http:'));
  const [port, internalPort] = [await freePort(), await freePort()];
  const lines: string[] = [];
  const start = await starter({ startApp, postgres, token, database, port, internalPort, ocsp, lines });
  let status: Running = await start();
  const url = `http://127.0.0.1:${port}`;
  const internalUrl = `http://127.0.0.1:${internalPort}`;
  await delegate(internalUrl, store, ca);

  const record: OcspPlant['record'] = async (serials) => void await sql(
    `INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der)
     SELECT $1, serial, $2, 0, '', now() - interval '1 hour', now() + interval '30 days', now(), '' FROM unnest($3::bytea[]) AS serial`, [ca.ca.id, profile, serials]);
  return {
    url, internalUrl, ca, store, database, lines, sql, record,
    async add(name, fields) {
      const other = await addCa(store, name, undefined, { keyId: undefined }, fields);
      await delegate(internalUrl, store, other);
      return other;
    },
    async issue({ notBefore = hours(-1), notAfter = hours(720), unrecorded, of = ca, serial = newSerial() } = {}) {
      const made = certify({ subject: named('ECU'), issuer: of.made, serial, notBefore, notAfter, extensions: [extension.keyUsage(['digitalSignature'])] });
      if (unrecorded !== true) await sql(`INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der) VALUES ($1, $2, $3, 0, '', $4, $5, now(), $6)`,
        [of.ca.id, serial, profile, notBefore, notAfter, made.certificate]);
      return { ...made, serial };
    },
    async revoke(serial, reason = 1, of = ca) {
      await sql(
        `INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id) VALUES ($1, $2, $3, now(), now() + interval '30 days', $4)
         ON CONFLICT (ca_id, serial) DO UPDATE SET reason = EXCLUDED.reason, released_at = NULL`, [of.ca.id, serial, reason, principal]);
    },
    release: async (serial) => void await sql('UPDATE revocation SET released_at = now() WHERE ca_id = $1 AND serial = $2', [ca.ca.id, serial]),
    async restart() {
      await status.close();
      status = await start();
    },
    async metric(line) {
      const text = await (await fetch(`${internalUrl}/metrics`)).text();
      return Number(text.split('\n').find((one) => one.startsWith(line))?.split(' ').at(-1) ?? 0);
    },
    async close() {
      await status.close();
      database.close();
      await owner.end();
      await store.close();
      await postgres.stop();
      await token.remove();
    },
  };
}

interface StatusSite {
  readonly startApp: typeof startStatus;
  readonly postgres: TestPostgres;
  readonly token: TestToken;
  readonly database: TcpProxy;
  readonly port: number;
  readonly internalPort: number;
  readonly ocsp: Partial<OcspOptions>;
  readonly lines: string[];
}

async function starter({ startApp, postgres, token, database, port, internalPort, ocsp, lines }: StatusSite): Promise<() => Promise<Running>> {
  const proxied = new URL(postgres.statusDatabaseUrl.reveal());
  proxied.port = new URL(await database.listen()).port;
  proxied.hostname = '127.0.0.1';
  return () => startApp({
    logger: createLogger({ role: 'status', level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
    databaseUrl: new Secret(proxied.href), pool: 4, enrolmentSecret: new Secret('x'), ocspSignerRefreshPercent: 50, ocsp,
    listen: { host: '127.0.0.1', port }, internalListen: { host: '127.0.0.1', port: internalPort },
    token: { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, deadlineMs: 5000, sessionCopies: 'try' },
  }, { fail: (error: unknown) => void lines.push(String(error)) });
}

/** As a ceremony does: the CA's key certifies that of the status app. */
async function delegate(internalUrl: string, store: Store, ca: RealCa): Promise<void> {
  const [request] = decodePem(await (await fetch(`${internalUrl}/ocsp-signer-request.pem`)).text(), 'request.malformed');
  const certificate = delegated(ca.made, parseRequest(request?.der ?? new Uint8Array(0)).spkiDer, hours(-1), hours(24));
  await store.authorities.addCertificate(ceremonyCertificate('ocsp-signer', certificate, undefined, ca.ca.id), event('ca.certificate-imported', `ca:${ca.ca.name}`));
}
