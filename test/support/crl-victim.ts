/**
 * A process that publishes CRLs by the publisher of the issuer, over a real ledger and a real token, or copies what is
 * published to a folder; to be killed. Its parts come as JSON in the first line of standard input, and then what it is
 * to do, a line each; what it answers are lines too.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { publishCrls, type RevocationReason, signatureAlgorithmOf } from '@fleetroot/authority';
import { type CaName, isPkiError, LedgerKey, Secret, serialFromBytes, systemClock } from '@fleetroot/core';
import { openSigner } from '@fleetroot/hsm';
import { openStore } from '@fleetroot/store';
import { createLogger } from '@fleetroot/telemetry';
import { CrlPublisher } from '../../apps/issuer/src/crl-publisher.ts';
import { DirectoryTarget } from '../../apps/worker/src/copies/directory.ts';
import { copiesTask } from '../../apps/worker/src/tasks/copies.ts';

export interface VictimParts {
  readonly databaseUrl: string;
  readonly ledgerKey: string;
  readonly token: { readonly module: string; readonly tokenLabel: string; readonly pin: string; readonly softhsmConf: string };
  readonly keyId: string;
  readonly spkiDer: string;
  readonly caId: number;
  readonly caName: string;
  readonly principalId: number;
  readonly statusUrl: string;
  /** Of what a lease of the publisher takes, so much: who died is followed the sooner. */
  readonly leasePercent: number;
}

export type VictimOrder =
  /** Publishes what is due, again and again. */
  | { readonly do: 'publish' }
  /** So many runs at once, without a lease, each after a revocation of its own. */
  | { readonly do: 'race'; readonly serials: readonly string[] }
  | { readonly do: 'copy'; readonly folder: string };

/** What a race came to: the codes of runs that failed, and of those that were tried again. */
export interface RaceOutcome { readonly failed: readonly string[]; readonly again: readonly string[] }

const octets = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const given = JSON.parse(String((await lines.next()).value)) as VictimParts;
const store = await openStore({ databaseUrl: new Secret(given.databaseUrl), ledgerKey: new LedgerKey(octets(given.ledgerKey)), pool: 8 });
const say = (what: unknown): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
const quiet = createLogger({ role: 'victim', level: 'silent' });

async function publisher(leased: boolean) {
  const keyId = octets(given.keyId);
  const hsm = await openSigner({
    ...given.token, pin: new Secret(given.token.pin), deadlineMs: 20_000, sessionCopies: 'try', keys: [{ keyId, spkiDer: octets(given.spkiDer) }],
  });
  const parts = {
    crls: store.crls, clock: systemClock, lifetimeMs: 3_600_000, deltaLifetimeMs: 600_000, refreshPercent: 50, statusUrl: given.statusUrl,
    signer: {
      ready: async () => undefined,
      sign: (authority: Parameters<typeof signatureAlgorithmOf>[0], messages: readonly Uint8Array[]) => hsm.sign(keyId, signatureAlgorithmOf(authority), messages),
    },
  };
  const acquire = leased
    ? (name: string, holder: string, ttlMs: number) => store.leases.acquire(name, holder, Math.max(1, ttlMs * given.leasePercent / 100))
    : async () => true;
  return { parts, publisher: new CrlPublisher({ ...parts, authorities: store.authorities, leases: { acquire } }) };
}

async function publishForEver(): Promise<never> {
  const { publisher: own } = await publisher(true);
  say('ready');
  for (;;) {
    await own.publish(given.caId);
    await sleep(50);
  }
}

async function copyForEver(folder: string): Promise<never> {
  const task = copiesTask({ published: store.published, targets: [new DirectoryTarget(folder)], beat: async () => undefined, clock: systemClock, logger: quiet, everyMs: 1000 });
  for (let round = 0; ; round++) {
    await task.run(new AbortController().signal);
    if (round === 0) say('ready');
    await sleep(20);
  }
}

/** Everybody has the lease: what is left to keep an older CRL from following a newer one is its number. */
async function race(serials: readonly string[]): Promise<RaceOutcome> {
  const { parts, publisher: own } = await publisher(false);
  say('ready');
  await lines.next();
  const failed: string[] = [];
  const again: string[] = [];
  const authority = (await store.authorities.all()).find(({ id }) => id === given.caId);
  if (authority === undefined) throw new Error('no CA');
  await Promise.all(serials.map(async (hex, i) => {
    const reason: RevocationReason = i % 2 === 0 ? 'keyCompromise' : 'superseded';
    await store.revocations.revoke(
      { serial: serialFromBytes(octets(hex)), ca: given.caName as CaName, reason, revokedAt: new Date(), principalId: given.principalId },
      { action: 'certificate.revoked', actor: 'principal:tester', at: new Date(), subject: `certificate:${given.caName}/${hex}`, data: { reason } });
    for (let attempt = 0; ; attempt++) {
      try {
        return void await (i % 3 === 0 ? publishCrls({ ...parts, authority }, 'all') : own.publish(given.caId));
      } catch (error) {
        // A job of the queue that fails is tried again.
        if (attempt === 5 || !isPkiError(error)) return void failed.push(isPkiError(error) ? error.code : String(error));
        again.push(error.code);
      }
    }
  }));
  return { failed, again };
}

const order = JSON.parse(String((await lines.next()).value)) as VictimOrder;
if (order.do === 'publish') await publishForEver();
else if (order.do === 'copy') await copyForEver(order.folder);
else {
  say(await race(order.serials));
  process.exit(0);
}
