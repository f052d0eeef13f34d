import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client } from 'pg';
import {
  type CertificationAuthority, type CrlDemand, type CrlHead, type CrlPublication, crlPath, crlShard, inspect, type InspectionReport, Issuance, type Profile,
  profileDocument, publishCrls, type PublishedCrls, readProfileFolder, type RevocationReason,
} from '@fleetroot/authority';
import { ecuSerial, LedgerKey, partNumber, serialFromBytes, systemClock, systemRandom, toHex } from '@fleetroot/core';
import { openStore, PostgresInspectionLedger, type Store } from '@fleetroot/store';
import { buildRequest, encodePem } from '@fleetroot/x509';
import type { VictimOrder, VictimParts } from './crl-victim.ts';
import { type HsmCa, makeHsmCa } from './hsm-ca.ts';
import { event, sha256 } from './ledger.ts';
import { startTestPostgres, type TestPostgres } from './postgres.ts';
import { makeToken, type TestToken } from './softhsm.ts';
import { certify, named } from './software-ca.ts';

const NAME = 'ecu-issuing';

/** A process of `crl-victim.ts`. */
export interface Victim {
  readonly child: ChildProcess;
  readonly exited: Promise<NodeJS.Signals | null>;
  /** The next line that it says; undefined: it has ended. */
  said<T>(): Promise<T | undefined>;
}

/** A CRL as it was published: the ledger keeps the octets of the newest only. */
export interface HistoryRow extends Pick<CrlHead, 'scope' | 'kind' | 'number'> {
  readonly this_update: Date;
  readonly der: Buffer;
}

/**
 * A CA in a SoftHSM token whose certificates, issued by the product's own code, name one of `SHARDS` CRLs; every CRL that
 * is ever published is put down by a trigger.
 */
export class CrlPlant {
  static readonly SHARDS = 4;
  readonly #ledgerKey = randomBytes(32);
  readonly #victims = new Set<Victim>();
  readonly folder = mkdtempSync(join(tmpdir(), 'fleetroot-crl-plant-'));
  readonly orders = join(this.folder, 'orders');
  readonly statusUrl: string;
  postgres!: TestPostgres;
  token!: TestToken;
  hsm!: HsmCa;
  store!: Store;
  ca!: CertificationAuthority;
  /** Of the certificates, none of them revoked at first. */
  serials: readonly Uint8Array[] = [];
  #sql!: Client;
  #principalId = 0;

  private constructor(statusUrl: string) {
    this.statusUrl = statusUrl;
    mkdirSync(this.orders);
  }

  static async open(statusUrl: string, certificates: number): Promise<CrlPlant> {
    const plant = new CrlPlant(statusUrl);
    try {
      await plant.#open(certificates);
      return plant;
    } catch (error) {
      await plant.close();
      throw error;
    }
  }

  async #open(certificates: number): Promise<void> {
    [this.postgres, this.token] = await Promise.all([startTestPostgres(), makeToken('crl-plant')]);
    this.store = await openStore({ databaseUrl: this.postgres.databaseUrl, ledgerKey: new LedgerKey(this.#ledgerKey), pool: 6 });
    this.#sql = new Client({ connectionString: this.postgres.databaseUrl.reveal() });
    this.#sql.on('error', () => undefined);
    await this.#sql.connect();
    this.hsm = await makeHsmCa(this.token, NAME);
    this.ca = await this.store.authorities.add(this.hsm.authority, event('ca.imported', `ca:${NAME}`));
    this.#principalId = (await this.store.principals.put('tester', ['line', 'admin'], randomBytes(32), undefined, event('principal.created', 'principal:tester'))).id;
    await this.sql(`CREATE TABLE history (place bigserial, ca_id int, scope text, kind text, number bigint, this_update timestamptz, der bytea)`);
    // The row of the CA is locked by who swaps: places are in the order of commits.
    await this.sql(`CREATE FUNCTION history() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN INSERT INTO history (ca_id, scope, kind, number, this_update, der) VALUES (NEW.ca_id, NEW.scope, NEW.kind, NEW.number, NEW.this_update, NEW.der); RETURN NULL; END'`);
    await this.sql(`CREATE TRIGGER history AFTER UPDATE OF published_at ON crl FOR EACH ROW WHEN (OLD.published_at IS NULL) EXECUTE FUNCTION history()`);
    await this.#issue(certificates);
    await this.publish({ shards: CrlPlant.SHARDS });
    await this.publish('all');
    writeFileSync(join(this.folder, 'ca.pem'), encodePem('CERTIFICATE', this.ca.certificate));
  }

  async #issue(count: number): Promise<void> {
    const { store } = this;
    const profiles = join(this.folder, 'profiles');
    mkdirSync(profiles);
    writeFileSync(join(profiles, 'ecu-client.yaml'), `${readFileSync('hsm-config/profiles/ecu-client.yaml', 'utf8')}\ncrlShards: ${CrlPlant.SHARDS}\n`);
    const profile = readProfileFolder(profiles, { statusUrl: this.statusUrl }).get('ecu-client') as Profile;
    const { id: profileVersionId } = await store.profiles.ensure(profile.name, profileDocument(profile));
    const begun = await store.batches.begin({ principalId: this.#principalId, idempotencyKey: undefined, caId: this.ca.id, profileVersionId, priority: 10, purpose: 'line' });
    if (begun.kind !== 'new') throw new Error('the batch is not new');
    await store.batches.append(begun.batchId, await Promise.all(Array.from({ length: count }, async (_, ordinal) => {
      const leaf = certify({ subject: named('ECU') });
      return {
        ordinal, ecuSerial: ecuSerial(`ECU-${ordinal}`), partNumber: partNumber('PN-1'),
        csr: await buildRequest({ subject: named('ECU'), spkiDer: leaf.spkiDer, algorithm: 'ecdsa-sha256' }, (info) => leaf.sign(info)),
      };
    })), []);
    await store.batches.accept(begun.batchId, sha256('body'), event('batch.accepted', `batch:${begun.batchId}`));
    const [chunk] = (await store.outbox.pending(10)).flatMap(({ job, payload }) => (job === 'issue-chunk' ? [(payload as { chunkId: string }).chunkId] : []));
    const issuance = new Issuance({
      ledger: store.issuance, authorities: store.authorities, profiles: store.profiles, signer: this.hsm.signer, ledgerKey: new LedgerKey(this.#ledgerKey),
      clock: systemClock, random: systemRandom, staleAfterMs: 30_000,
    });
    if (chunk === undefined || await issuance.issueChunk(BigInt(chunk)) !== 'done') throw new Error('not issued');
    this.serials = (await this.sql<{ serial: Buffer }>('SELECT serial FROM certificate ORDER BY ordinal')).map(({ serial }) => new Uint8Array(serial));
  }

  async sql<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#sql.query<Row>(text, [...values])).rows;
  }

  shardOf(serial: Uint8Array): `${number}/${number}` {
    return `${CrlPlant.SHARDS}/${crlShard(serial, CrlPlant.SHARDS)}`;
  }

  async revoke(serial: Uint8Array, reason: RevocationReason): Promise<void> {
    await this.store.revocations.revoke(
      { serial: serialFromBytes(serial), ca: this.ca.name, reason, revokedAt: new Date(), principalId: this.#principalId },
      { ...event('certificate.revoked', `certificate:${NAME}/${serialFromBytes(serial)}`), data: { reason } });
  }

  publication(change: Partial<CrlPublication> = {}): CrlPublication {
    return {
      crls: this.store.crls, authority: this.ca, signer: this.hsm.signer, clock: systemClock, lifetimeMs: 3_600_000, deltaLifetimeMs: 600_000, statusUrl: this.statusUrl, ...change,
    };
  }

  publish(demand: CrlDemand, change: Partial<CrlPublication> = {}): Promise<readonly CrlHead[]> {
    return publishCrls(this.publication(change), demand);
  }

  history(): Promise<HistoryRow[]> {
    return this.sql<Omit<HistoryRow, 'number'> & { number: string }>('SELECT scope, kind, number::text AS number, this_update, der FROM history ORDER BY place')
      .then((rows) => rows.map((row) => ({ ...row, number: BigInt(row.number) })));
  }

  /** What the ledger says is published, by path: as a status app without a fault would serve it. */
  async served(): Promise<Map<string, Uint8Array>> {
    const heads = await this.store.crls.heads(this.ca.id);
    return new Map(await Promise.all(heads.map(async ({ scope, kind }) =>
      [crlPath({ ca: NAME, scope, kind }), (await this.store.crls.latest(this.ca.id, scope, kind))?.der ?? new Uint8Array(0)] as const)));
  }

  fsck(published: PublishedCrls | undefined, crlWithinMs = 0): Promise<InspectionReport> {
    return inspect({ ledger: new PostgresInspectionLedger(this.postgres.databaseUrl), ledgerKey: new LedgerKey(this.#ledgerKey), published }, { full: true, crlWithinMs });
  }

  /** openssl's own judgement of the signature; undefined: it verifies. */
  async flaw(der: Uint8Array): Promise<string | undefined> {
    const file = join(this.folder, `${randomBytes(6).toString('hex')}.crl`);
    writeFileSync(file, der);
    try {
      const { stdout, stderr } = await promisify(execFile)('openssl', ['crl', '-inform', 'DER', '-in', file, '-noout', '-verify', '-CAfile', join(this.folder, 'ca.pem')]);
      return /verify OK/.test(stdout + stderr) ? undefined : stdout + stderr;
    } catch (error) {
      return String(error);
    } finally {
      rmSync(file);
    }
  }

  start(order: VictimOrder): Victim {
    const child = spawn(process.execPath, [
      '--conditions=fleetroot-source', '--disable-warning=ExperimentalWarning', '--import', fileURLToPath(new URL('crash-arm.mjs', import.meta.url)),
      fileURLToPath(new URL('crl-victim.ts', import.meta.url)),
    ], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, FAULTS_FOLDER: this.orders, FAULTS_ROLE: order.do, SOFTHSM2_CONF: this.token.softhsmConf } });
    const { module, tokenLabel, pin, softhsmConf } = this.token;
    const parts: VictimParts = {
      databaseUrl: this.postgres.databaseUrl.reveal(), ledgerKey: toHex(this.#ledgerKey), token: { module, tokenLabel, pin: pin.reveal(), softhsmConf },
      keyId: toHex(this.ca.keyId ?? new Uint8Array(0)), spkiDer: toHex(this.hsm.spkiDer), caId: this.ca.id, caName: NAME, principalId: this.#principalId,
      statusUrl: this.statusUrl, leasePercent: 10,
    };
    child.stdin.write(`${JSON.stringify(parts)}\n${JSON.stringify(order)}\n`);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const victim: Victim = {
      child,
      exited: new Promise((resolve) => child.once('exit', (_, signal) => {
        this.#victims.delete(victim);
        resolve(signal);
      })),
      async said<T>() {
        const { value, done } = await lines.next();
        return done === true ? undefined : JSON.parse(value) as T;
      },
    };
    this.#victims.add(victim);
    return victim;
  }

  async endVictims(): Promise<void> {
    await Promise.all([...this.#victims].map(({ child, exited }) => {
      child.kill('SIGKILL');
      return exited;
    }));
  }

  async close(): Promise<void> {
    await this.endVictims();
    await this.#sql?.end().catch(() => undefined);
    await this.hsm?.close();
    await this.store?.close();
    await this.postgres?.stop();
    await this.token?.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
