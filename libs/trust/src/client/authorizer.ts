import { hash } from 'node:crypto';
import { type Clock, equalBytes, isPkiError, Lru } from '@fleetroot/core';
import type { BlockedKeys } from '@fleetroot/x509';
import type { ClientAuthority, ClientLedger, ClientRecord } from './ports.ts';
import { present, type Presented, type Refused } from './presented.ts';
import { type ClientReason, clientReasons } from './reason.ts';
import { type ReadStatus, StatusMemory } from './status-memory.ts';
import { StatusWatch } from './status-watch.ts';
import type { Surroundings } from './surroundings.ts';

/** Whether a client is let in. What is known of its certificate is told also where it is not. */
export interface Authorization {
  readonly allowed: boolean;
  readonly reason: ClientReason;
  readonly detail: string;
  readonly ca?: string;
  readonly serial?: string;
  readonly notAfter?: Date;
  readonly profile?: string;
  readonly ecuSerial?: string;
  readonly partNumber?: string;
  readonly vin?: string;
}

export interface ClientAuthorizerParts {
  readonly ledger: ClientLedger;
  readonly authorities: () => Promise<readonly ClientAuthority[]>;
  readonly clock: Clock;
  /** Beside those that are blocked on record. */
  readonly blockedKeys: BlockedKeys;
  /** For so long, in milliseconds, what is known is believed while the database is away. */
  readonly staleMs: number;
  /** Certificates that are remembered, at most. */
  readonly limit: number;
}

/** How long one question to the ledger may take, in milliseconds. */
const DEADLINE_MS = 1500;
/** What was refused for good is refused again without another look at it; in milliseconds. */
const REFUSED_MS = 10_000;
const MOST_REFUSED = 5000;
/** Longer texts than any certificate of ours makes are read each time. */
const LONGEST_REMEMBERED = 12 * 1024;

const refusal = (reason: ClientReason): Authorization => ({ allowed: false, reason, detail: clientReasons[reason] });

/**
 * Judges client certificates for gateways: issued by a CA of ours that is trusted, octet for octet on record, within its
 * validity, for clients, not revoked, its key not blocked. What is known is remembered: at most 30 s, never past the end
 * of the certificate, nor past a revocation that was told, nor while the database is away for longer than the bound.
 */
export class ClientAuthorizer {
  readonly #memory: StatusMemory;
  readonly #watch: StatusWatch;
  readonly #clock: Clock;
  readonly #blockedKeys: BlockedKeys;
  readonly #limit: number;
  /** By the hash of the certificate, in whatever form it came: its signature is verified once. */
  readonly #presented: Lru<string, Presented>;

  constructor({ ledger, authorities, clock, blockedKeys, staleMs, limit }: ClientAuthorizerParts) {
    this.#memory = new StatusMemory(ledger, limit, DEADLINE_MS);
    this.#watch = new StatusWatch({ ledger, authorities, memory: this.#memory, clock, staleMs });
    this.#clock = clock;
    this.#blockedKeys = blockedKeys;
    this.#limit = limit;
    this.#presented = new Lru(limit);
  }

  /** Certificates remembered, and questions to the ledger so far. */
  get figures(): { readonly remembered: number; readonly lookUps: number } {
    return { remembered: this.#memory.size, lookUps: this.#memory.asked };
  }

  /** @param read the certificate (DER) in a text of one form; or why there is none. The same text must give the same. */
  texts(read: (text: string) => Uint8Array | ClientReason): ClientTexts {
    return new ClientTexts(this, read, this.#limit);
  }

  /** What there is to judge by, asked for where nobody has asked lately. */
  async surroundings(): Promise<Surroundings | ClientReason> {
    await within(this.#watch.use(performance.now()), DEADLINE_MS);
    return this.#watch.at(performance.now());
  }

  /** As `present`. */
  present(der: Uint8Array, surroundings: Surroundings): Presented | Refused {
    const name = hash('sha256', der, 'latin1');
    const known = this.#presented.get(name);
    if (known !== undefined) return known;
    const found = present(der, Buffer.from(name, 'latin1'), surroundings, this.#blockedKeys);
    if (!('reason' in found)) this.#presented.set(name, found);
    return found;
  }

  /** At once, where all is known; else undefined. */
  recall(presented: Presented, truststore: string | undefined): Authorization | undefined {
    const now = performance.now();
    if (this.#watch.use(now) !== undefined) return undefined;
    const status = this.#memory.recall(presented, now);
    return status === undefined ? undefined : this.#judge(presented, status, truststore, now);
  }

  async authorize(presented: Presented, truststore: string | undefined): Promise<Authorization> {
    const surroundings = await this.surroundings();
    if (typeof surroundings === 'string') return refusal(surroundings);
    try {
      const now = performance.now();
      const status = this.#memory.recall(presented, now) ?? await this.#memory.read(presented);
      return status === undefined ? refusal('status.unavailable') : this.#judge(presented, status, truststore, performance.now());
    } catch (error) {
      if (isPkiError(error) && error.code === 'store.unavailable') return refusal('status.unavailable');
      throw error;
    }
  }

  #judge(presented: Presented, status: ReadStatus, truststore: string | undefined, now: number): Authorization {
    const surroundings = this.#watch.at(now);
    if (typeof surroundings === 'string') return refusal(surroundings);
    return authorization(presented, status, surroundings, this.#clock.now().getTime(), truststore);
  }

  close(): void {
    this.#watch.close();
  }
}

/** The certificates that come in texts of one form: what a text holds is read once. */
export class ClientTexts {
  readonly #authorizer: ClientAuthorizer;
  readonly #read: (text: string) => Uint8Array | ClientReason;
  readonly #known: Lru<string, Presented>;
  /** By the hash of the text: what strangers send takes little room. */
  readonly #refused = new Lru<string, Refused & { readonly until: number; readonly by: Surroundings['authorities'] }>(MOST_REFUSED);

  constructor(authorizer: ClientAuthorizer, read: (text: string) => Uint8Array | ClientReason, limit: number) {
    this.#authorizer = authorizer;
    this.#read = read;
    this.#known = new Lru(limit);
  }

  /**
   * @param truststore name of one that must hold the CA which issued the certificate
   * @returns at once, where all is known
   */
  authorize(text: string, truststore?: string): Authorization | Promise<Authorization> {
    const known = this.#known.get(text);
    if (known === undefined) return this.#first(text, truststore);
    return this.#authorizer.recall(known, truststore) ?? this.#authorizer.authorize(known, truststore);
  }

  async #first(text: string, truststore: string | undefined): Promise<Authorization> {
    const surroundings = await this.#authorizer.surroundings();
    if (typeof surroundings === 'string') return refusal(surroundings);
    const { authorities } = surroundings;
    const name = hash('sha256', text, 'base64');
    const before = this.#refused.get(name);
    if (before !== undefined && before.by === authorities && performance.now() < before.until) return refusedBy(before, authorities);
    const der = this.#read(text);
    const found = typeof der === 'string' ? { reason: der } : this.#authorizer.present(der, surroundings);
    if ('reason' in found) {
      this.#refused.set(name, { ...found, until: performance.now() + REFUSED_MS, by: authorities });
      return refusedBy(found, authorities);
    }
    if (text.length <= LONGEST_REMEMBERED) this.#known.set(text, found);
    return this.#authorizer.authorize(found, truststore);
  }
}

function refusedBy({ reason, presented }: Refused, { byId }: Surroundings['authorities']): Authorization {
  return { ...refusal(reason), ...(presented === undefined ? {} : claims(presented, byId.get(presented.caId)?.name)) };
}

/** The answer to a certificate that a CA of ours has signed for a client. `time` in milliseconds. */
function authorization(
  presented: Presented, status: ReadStatus, { authorities, truststores }: Surroundings, time: number, truststore: string | undefined,
): Authorization {
  const ca = authorities.byId.get(presented.caId);
  const second = Math.floor(time / 1000) * 1000;
  const reason = timeReason(presented, second)
    ?? (ca === undefined ? 'issuer.unknown' : ca.revoked ? 'ca.revoked'
      : !ca.trusted || second < ca.notBefore || second > ca.notAfter ? 'ca.not-trusted' : undefined)
    ?? truststoreReason(presented.caId, truststore, truststores) ?? recordReason(presented, status.record) ?? 'allowed';
  const { record } = status;
  const own = record !== undefined && equalBytes(record.sha256, presented.sha256) ? record : undefined;
  return { allowed: reason === 'allowed', reason, detail: clientReasons[reason], ...claims(presented, ca?.name), ...(own === undefined ? {} : holder(own)) };
}

/** Both ends belong to the validity (RFC 5280 section 4.1.2.5). */
function timeReason({ notBefore, notAfter }: Presented, second: number): ClientReason | undefined {
  if (second < notBefore) return 'certificate.not-yet-valid';
  return second > notAfter ? 'certificate.expired' : undefined;
}

function truststoreReason(caId: number, name: string | undefined, truststores: Surroundings['truststores']): ClientReason | undefined {
  if (name === undefined) return undefined;
  const members = truststores.get(name);
  if (members === undefined) return 'truststore.not-found';
  return members.has(caId) ? undefined : 'truststore.not-member';
}

function recordReason({ sha256 }: Presented, record: ClientRecord | undefined): ClientReason | undefined {
  if (record === undefined) return 'certificate.not-on-record';
  if (!equalBytes(record.sha256, sha256)) return 'certificate.altered';
  if (record.status !== 'good') return record.status === 'held' ? 'certificate.held' : 'certificate.revoked';
  return record.keyBlocked ? 'key.blocked' : undefined;
}

const claims = ({ serialHex, notAfter }: Presented, ca: string | undefined): Partial<Authorization> =>
  ({ ...(ca === undefined ? {} : { ca }), serial: serialHex, notAfter: new Date(notAfter) });

function holder({ profile, ecuSerial, partNumber, vin }: ClientRecord): Partial<Authorization> {
  return {
    profile, ...(ecuSerial === undefined ? {} : { ecuSerial }), ...(partNumber === undefined ? {} : { partNumber }), ...(vin === undefined ? {} : { vin }),
  };
}

/** Resolves with the work, or when it takes too long. */
async function within(work: Promise<void> | undefined, ms: number): Promise<void> {
  if (work === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => { timer = setTimeout(resolve, ms); })]);
  clearTimeout(timer);
}
