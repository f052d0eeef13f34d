import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { type CaSigner, type CertificationAuthority, Issuance, type Profile, profileDocument, publishCrl, readProfileFolder, type RequestItem, type RevocationReason, type SigningPurpose } from '@fleetroot/authority';
import { type Clock, type CrashPoint, ecuSerial, isPkiError, LedgerKey, partNumber, Secret, serialFromHex, systemRandom, toHex } from '@fleetroot/core';
import { type NewJob, relayOutbox } from '@fleetroot/queue';
import { openStore, type Store } from '@fleetroot/store';
import { parseCertificate, spkiSha256 } from '@fleetroot/x509';
import { Client } from 'pg';
import { ecuKey, type Key } from './faults.ts';
import type { HsmCa } from './hsm-ca.ts';
import { invariants } from './invariants.ts';
import { Death, Life } from './mortal.ts';
import type { TestPostgres } from './postgres.ts';

const ledgerKey = new LedgerKey(new Uint8Array(32).fill(7));
const profile = ((): Profile => {
  const found = readProfileFolder(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.example' }).get('ecu-client');
  if (found === undefined) throw new Error('there is no profile ecu-client');
  return found;
})();

/** Silence after which a chunk counts as left, in milliseconds: whoever looks finds it so. */
const STALE_MS = 1;
const ON_CRL = 'what is revoked or burned is on the CRL';

interface Ecu { readonly serial: string; readonly keys: Key[] }

/** The ledger of one run: a database of its own, an issuer that can die, a queue that can be lost, a clock that can go wrong. */
export class ModelPlant {
  readonly ecus: Ecu[] = [];
  /** Certificates that were told of, by serial in hex: DER, and whether revoked. */
  readonly known = new Map<string, { readonly der: string; revoked: boolean }>();
  clockOff = 0;
  /** How often the issuer died. */
  deaths = 0;
  readonly #url: Secret;
  readonly #dropUrl: Secret;
  readonly #name: string;
  readonly #ca: HsmCa;
  readonly #folder: string;
  /** What the HSM signed as a certificate, in order. */
  readonly #signed: Uint8Array[] = [];
  #queue: NewJob[] = [];
  readonly #reader: Client;
  #life = new Life();
  #store: Store | undefined;
  #eyes: Store | undefined;
  #issuance: Issuance | undefined;
  #authority: CertificationAuthority | undefined;
  #principalId = 0;
  #versionId = 0;
  #items = 0;
  /** Of each renewal its key, as the ledger names it. */
  readonly #renewedKey = new Map<string, string>();
  #status: Server | undefined;

  private constructor(postgres: TestPostgres, ca: HsmCa, folder: string, name: string) {
    const url = new URL(postgres.databaseUrl.reveal());
    url.pathname = `/${name}`;
    this.#url = new Secret(url.href);
    this.#reader = new Client({ connectionString: url.href });
    this.#dropUrl = postgres.adminUrl;
    this.#name = name;
    this.#ca = ca;
    this.#folder = folder;
  }

  static #count = 0;

  static async open(postgres: TestPostgres, ca: HsmCa, folder: string): Promise<ModelPlant> {
    const name = `model_${++ModelPlant.#count}`;
    const plant = new ModelPlant(postgres, ca, join(folder, name), name);
    const { username, pathname } = new URL(postgres.databaseUrl.reveal());
    await onServer(postgres.adminUrl, `CREATE DATABASE ${name} TEMPLATE ${pathname.slice(1)} OWNER "${username}"`);
    await plant.#found();
    return plant;
  }

  async #found(): Promise<void> {
    mkdirSync(join(this.#folder, 'secrets'), { recursive: true });
    writeFileSync(join(this.#folder, 'secrets/database-url'), this.#url.reveal(), { mode: 0o600 });
    writeFileSync(join(this.#folder, 'secrets/ledger-key'), toHex(new Uint8Array(32).fill(7)), { mode: 0o600 });
    await this.#reader.connect();
    const eyes = this.#eyes = await openStore({ databaseUrl: this.#url, ledgerKey, pool: 2 });
    this.#authority = await eyes.authorities.add(this.#ca.authority, event('ca.imported', 'ca'));
    this.#principalId = (await eyes.principals.put('line', ['line'], randomBytes(32), undefined, event('principal.created', 'line'))).id;
    this.#versionId = (await eyes.profiles.ensure(profile.name, profileDocument(profile))).id;
    const { id, name } = this.#authority;
    this.#status = createServer((request, response) => {
      const answer = async (): Promise<void> => {
        const crl = request.url === `/crl/${name}.crl` ? await eyes.crls.latest(id) : undefined;
        response.writeHead(crl === undefined ? 404 : 200).end(crl?.der);
      };
      answer().catch(() => response.writeHead(500).end());
    });
    await new Promise<void>((resolve) => this.#status?.listen(0, '127.0.0.1', resolve));
    await this.restart();
  }

  async close(): Promise<void> {
    this.#life.end();
    await this.#store?.close();
    await this.#eyes?.close();
    await this.#reader.end();
    const status = this.#status;
    await new Promise<void>((resolve) => (status === undefined ? resolve() : status.close(() => resolve())));
    await onServer(this.#dropUrl, `DROP DATABASE ${this.#name} WITH (FORCE)`);
  }

  /** Another process in place of this one: nothing that was in its memory is left. */
  async restart(): Promise<void> {
    this.#life.end();
    await this.#store?.close();
    const life = this.#life = new Life();
    const store = this.#store = await openStore({ databaseUrl: this.#url, ledgerKey, pool: 3 });
    const clock = this.#clock;
    this.#issuance = new Issuance({
      ledger: life.of(store.issuance), authorities: life.of(store.authorities), profiles: life.of(store.profiles), signer: life.of(this.#signer),
      ledgerKey, clock, random: systemRandom, staleAfterMs: STALE_MS, patienceMs: 0,
    });
    life.begin();
  }

  /** Whoever is dead is followed by another. An order that nobody carried out stays. */
  async #revive(): Promise<void> {
    if (!this.#life.over) return;
    this.deaths++;
    await this.restart();
  }

  orderCrash(point: CrashPoint, nth: number): void {
    this.#life.order(point, nth);
  }

  loseQueue(): void {
    this.#queue = [];
  }

  /** Everything waiting is delivered twice. */
  doubleQueue(): void {
    this.#queue.push(...this.#queue);
  }

  /** A batch of new ECUs. */
  async submit(count: number): Promise<void> {
    const ecus: Ecu[] = Array.from({ length: count }, (_, i) => ({ serial: `ECU-${this.ecus.length + i}`, keys: [ecuKey()] }));
    await this.#accept(ecus, 'line');
  }

  /** One of the ECUs that were issued for asks anew, with a new key or the one it has. */
  async renew(which: number, newKey: boolean): Promise<void> {
    const ecu = this.ecus[which % Math.max(1, this.ecus.length)];
    if (ecu === undefined) return;
    if (newKey) ecu.keys.push(ecuKey());
    await this.#accept([ecu], 'renewal');
  }

  async #accept(ecus: readonly Ecu[], purpose: SigningPurpose): Promise<void> {
    await this.#alive(async (store) => {
      const begun = await store.batches.begin({
        principalId: this.#principalId, idempotencyKey: undefined, caId: this.#authority?.id ?? 0, profileVersionId: this.#versionId, priority: 10, purpose,
      });
      if (begun.kind !== 'new') throw new Error('the batch is not new');
      const [one] = ecus;
      if (purpose === 'renewal' && one !== undefined) this.#renewedKey.set(begun.batchId, toHex(spkiSha256((one.keys.at(-1) as Key).spkiDer)));
      const items = await Promise.all(ecus.map(async ({ serial, keys }, ordinal): Promise<RequestItem> => ({
        ordinal, ecuSerial: ecuSerial(serial), partNumber: partNumber('P-1'),
        csr: Buffer.from(await (keys.at(-1) as Key).request(serial), 'base64'),
      })));
      // Two chunks, where there is enough for two.
      const half = Math.ceil(items.length / 2);
      for (const chunk of [items.slice(0, half), items.slice(half)]) if (chunk.length > 0) await store.batches.append(begun.batchId, chunk, []);
      await store.batches.accept(begun.batchId, randomBytes(32), event('batch.accepted', `batch:${begun.batchId}`));
      this.#items += items.length;
      for (const ecu of ecus) if (!this.ecus.includes(ecu)) this.ecus.push(ecu);
    });
  }

  /** The outbox is relayed, what nobody works on is asked for, and each job is worked on once. */
  async work(): Promise<void> {
    await this.#alive(async (store) => {
      await relayOutbox(this.#life.of(store.outbox), { addMany: (jobs) => Promise.resolve(void this.#queue.push(...jobs)) });
      for (const { chunkId } of [...await store.waiting.orphaned(STALE_MS, 500), ...await store.waiting.pending(STALE_MS, undefined, 500)]) {
        this.#queue.push({ name: 'issue-chunk', payload: { chunkId: String(chunkId) } });
      }
      for (let left = this.#queue.length; left > 0; left--) {
        const job = this.#queue.shift();
        if (job === undefined) return;
        try {
          await this.#run(store, job);
        } catch (error) {
          // Delivered again to the next one, as the queue does.
          this.#queue.push(job);
          if (!isPkiError(error) || error.retry !== 'later') throw error;
        }
      }
    });
    await this.#look();
  }

  async #run(store: Store, job: NewJob): Promise<void> {
    if (job.name === 'publish-crl') return this.#publish(store);
    if (job.name === 'publish-filter') return;
    await this.#issuance?.issueChunk(BigInt(job.payload.chunkId));
  }

  publish(): Promise<void> {
    return this.#alive(async (store) => {
      try {
        await this.#publish(store);
      } catch (error) {
        if (!isPkiError(error) || error.code !== 'clock.skew') throw error;
      }
    });
  }

  async #publish(store: Store): Promise<void> {
    if (this.#authority === undefined) return;
    await publishCrl({ crls: this.#life.of(store.crls), authority: this.#authority, signer: this.#life.of(this.#signer), clock: this.#clock, lifetimeMs: 3_600_000 });
  }

  async revoke(which: number, reason: RevocationReason): Promise<void> {
    const [serial, known] = [...this.known][which % Math.max(1, this.known.size)] ?? [];
    if (serial === undefined || known === undefined || known.revoked) return;
    await this.#alive(async (store) => {
      await store.revocations.revoke(
        { serial: serialFromHex(serial), ca: this.#ca.authority.name, reason, revokedAt: new Date(), principalId: this.#principalId },
        event('certificate.revoked', `certificate:${serial}`));
      known.revoked = true;
    });
  }

  /** Everything is right again, and all is worked off. */
  async recover(): Promise<void> {
    this.clockOff = 0;
    this.#life.withdraw();
    for (let round = 0; round < 20; round++) {
      await this.work();
      const open = await this.#ask<{ open: number }>(`SELECT (SELECT count(*) FROM batch WHERE state = 'accepted')::int + (SELECT count(*) FROM outbox)::int AS open`);
      if (open[0]?.open === 0 && this.#queue.length === 0) break;
    }
    await this.publish();
  }

  /** Everything that does not hold; `settled`: nothing is open any more, and all of it must be on the CRL. */
  async breaches(settled: boolean): Promise<string[]> {
    const address = this.#status?.address();
    const status = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    return [
      ...(await invariants({ dataDir: this.#folder, status }, {
        connected: this.#reader, ...(settled ? { crlWithinMs: 0 } : { except: [ON_CRL, 'audit chain'] }),
      })),
      ...(await this.#signaturesAccounted()), ...(await this.#toldIsKept()), ...(settled ? await this.#allIssued() : []),
    ];
  }

  /** I2, exactly: each TBS that the HSM was given is a certificate's, or its serial is burned, or its intent is open; none was given twice. */
  async #signaturesAccounted(): Promise<string[]> {
    const issued = await this.#ask<{ serial: Buffer; der: Buffer }>('SELECT serial, der FROM certificate');
    const burned = await this.#ask<{ serial: Buffer }>('SELECT serial FROM burned_serial');
    const open = await this.#ask<{ seed: Buffer; signed_at: Date; serial_form: 1 | 2; first: number; items: number }>(
      `SELECT seed, signed_at, serial_form, first, items FROM intent WHERE state = 'open'`);
    const excused = new Set([...burned.map(({ serial }) => toHex(serial)), ...open.flatMap(({ seed, signed_at, serial_form, first, items }) =>
      Array.from({ length: items }, (_, i) => toHex(ledgerKey.deriveSerial({ seed, signedAt: signed_at, form: serial_form }, first + i))))]);
    const tbsOf = new Map(issued.map(({ serial, der }) => [toHex(serial), toHex(parseCertificate(der).tbsDer)]));
    const seen = new Set<string>();
    const breaches: string[] = [];
    for (const tbs of this.#signed) {
      const serial = serialOfTbs(tbs);
      if (seen.has(serial)) breaches.push(`${serial} was signed twice`);
      seen.add(serial);
      if (tbsOf.has(serial) ? tbsOf.get(serial) !== toHex(tbs) : !excused.has(serial)) breaches.push(`${serial} was signed, and nothing tells of it`);
    }
    for (const { serial } of issued) if (!seen.has(toHex(serial))) breaches.push(`${toHex(serial)} was not signed by the HSM`);
    return breaches;
  }

  /** What was told stays as it was told. */
  async #toldIsKept(): Promise<string[]> {
    const rows = new Map((await this.#ask<{ serial: Buffer; der: Buffer }>('SELECT serial, der FROM certificate')).map(({ serial, der }) => [toHex(serial), toHex(der)]));
    return [...this.known].filter(([serial, { der }]) => rows.get(serial) !== der).map(([serial]) => `the certificate ${serial} is not what it was`);
  }

  /** Each item has its certificate, but for those whose key was told of as compromised before their turn came. */
  async #allIssued(): Promise<string[]> {
    const [row] = await this.#ask<{ issued: number; left: number }>(
      `SELECT (SELECT count(*) FROM certificate)::int AS issued, (SELECT count(*) FROM batch WHERE state = 'accepted')::int AS left`);
    const failed = await this.#ask<{ batch_id: string; code: string }>('SELECT c.batch_id, f.code FROM failure f JOIN chunk c ON c.id = f.chunk_id');
    const blocked = new Set((await this.#ask<{ spki_sha256: Buffer }>('SELECT spki_sha256 FROM subject_key WHERE blocked')).map(({ spki_sha256 }) => toHex(spki_sha256)));
    const wrongly = failed.filter(({ batch_id, code }) => code !== 'key.blocked' || !blocked.has(this.#renewedKey.get(batch_id) ?? ''));
    return [
      ...wrongly.map(({ code }) => `an item failed: ${code}`),
      ...((row?.issued ?? 0) + failed.length === this.#items && row?.left === 0 ? []
        : [`${row?.issued} certificates and ${failed.length} failures of ${this.#items} items, ${row?.left} batches are not done`]),
    ];
  }

  /** Clients read what is issued. */
  async #look(): Promise<void> {
    for (const { serial, der } of await this.#ask<{ serial: Buffer; der: Buffer }>('SELECT serial, der FROM certificate')) {
      if (!this.known.has(toHex(serial))) this.known.set(toHex(serial), { der: toHex(der), revoked: false });
    }
  }

  /** Runs in a process that lives; where it dies in it, another follows, and the caller never learns what became of it. */
  async #alive(work: (store: Store) => Promise<void>): Promise<void> {
    await this.#revive();
    try {
      await work(this.#store as Store);
    } catch (error) {
      if (!(error instanceof Death) && !this.#life.over) throw error;
    }
    await this.#revive();
  }

  readonly #clock: Clock = { now: () => new Date(Date.now() + this.clockOff) };

  readonly #signer: CaSigner = {
    ready: async () => undefined,
    sign: (authority, tbs, purpose) => {
      if (purpose !== 'crl') this.#signed.push(...tbs);
      return this.#ca.signer.sign(authority, tbs, purpose);
    },
  };

  async #ask<R extends object>(sql: string): Promise<R[]> {
    return (await this.#reader.query<R>(sql)).rows;
  }
}

const event = (action: 'ca.imported' | 'principal.created' | 'batch.accepted' | 'certificate.revoked', subject: string) =>
  ({ action, actor: 'system:test', at: new Date(), subject, data: {} });

/** TBSCertificate: SEQUENCE, [0] version, INTEGER serialNumber. */
function serialOfTbs(tbs: Uint8Array): string {
  const at = tbs[1] === 0x82 ? 4 : tbs[1] === 0x81 ? 3 : 2;
  return toHex(tbs.subarray(at + 7, at + 7 + (tbs[at + 6] ?? 0)));
}

async function onServer(adminUrl: Secret, sql: string): Promise<void> {
  const client = new Client({ connectionString: adminUrl.reveal() });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
