import { constants } from 'node:crypto';
import type { Server, ServerOptions } from 'node:https';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Address } from '@fleetroot/config';
import { isPkiError } from '@fleetroot/core';
import { listen, NotReady } from '@fleetroot/http';
import type { Logger } from '@fleetroot/telemetry';
import type { TlsIdentity, TlsIdentityKeeper } from './tls-identity.ts';

/**
 * TLS 1.2 and up; any client certificate is taken in the handshake and judged by the routes, so that a refusal has a
 * reason and is on record. Without session tickets: a resumed session would bring the client's certificate without the
 * intermediates that lead to its supplier.
 */
export const deviceTls: ServerOptions = {
  minVersion: 'TLSv1.2', requestCert: true, rejectUnauthorized: false, secureOptions: constants.SSL_OP_NO_TICKET,
  handshakeTimeout: 10_000,
};

/** How often the certificate is looked at, in milliseconds; `retryMs` while there is none: a plant is being set up. */
export interface Rounds {
  readonly checkMs: number;
  readonly retryMs: number;
}

const defaultRounds: Rounds = { checkMs: 60_000, retryMs: 1_000 };

/** Listens as soon as it has a certificate, and replaces that in time without a pause. */
export class DeviceListener {
  readonly #app: NestFastifyApplication;
  readonly #keeper: Pick<TlsIdentityKeeper, 'current'>;
  readonly #address: Address;
  readonly #logger: Logger;
  readonly #rounds: Rounds;
  #used: TlsIdentity | undefined;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #closed = false;
  #problem = 'its TLS certificate is not issued yet';

  constructor(app: NestFastifyApplication, keeper: Pick<TlsIdentityKeeper, 'current'>, address: Address, logger: Logger, rounds = defaultRounds) {
    this.#app = app;
    this.#keeper = keeper;
    this.#address = address;
    this.#logger = logger;
    this.#rounds = rounds;
  }

  /** Where it listens; undefined until it does. */
  get port(): number | undefined {
    const address = (this.#app.getHttpServer() as Server).address();
    return typeof address === 'object' ? address?.port : undefined;
  }

  /** @throws NotReady */
  check(): void {
    if (this.port === undefined) throw new NotReady(`the device listener is not up: ${this.#problem}`);
  }

  start(): void {
    this.#round = this.#look();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#round;
    await this.#app.close();
  }

  async #look(): Promise<void> {
    try {
      await this.#use(await this.#keeper.current());
    } catch (error) {
      // Everybody may read it: what a driver or the file system says may hold an address or a path.
      this.#problem = isPkiError(error) && error.kind !== 'internal' ? error.message : 'the cause is in the log';
      this.#logger.warn({ err: error }, 'the device listener has no certificate to go on with');
    }
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.start(), this.port === undefined ? this.#rounds.retryMs : this.#rounds.checkMs);
  }

  async #use(identity: TlsIdentity): Promise<void> {
    if (this.#closed || identity.cert === this.#used?.cert) return;
    (this.#app.getHttpServer() as Server).setSecureContext({ ...deviceTls, ...identity });
    this.#used = identity;
    if (this.port !== undefined) return void this.#logger.info('the device listener has a new certificate');
    const port = await listen(this.#app, this.#address, 'FLEETROOT_DEVICE_LISTEN');
    this.#logger.info({ host: this.#address.host, port }, 'the device listener is up');
  }
}
