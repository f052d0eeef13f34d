import { Client } from 'pg';
import type { Secret } from '@fleetroot/core';

const CHANNELS = ['fleetroot_chunk', 'fleetroot_outbox', 'fleetroot_single', 'fleetroot_revoked'] as const;
export type Channel = (typeof CHANNELS)[number];

const RECONNECT_MS = 500;

/**
 * One connection that listens for the ledger's notifications. They only make waiting short: who waits must look by
 * himself as well, as a notification is lost while the connection is away.
 */
export class Listener {
  readonly #databaseUrl: Secret;
  readonly #subscribers = new Set<{ readonly channel: Channel; readonly wake: (payload: string) => void; readonly gap: () => void }>();
  #client: Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(databaseUrl: Secret) {
    this.#databaseUrl = databaseUrl;
  }

  /**
   * Calls `wake` at each notification until the returned function is called. Connects at the first subscription.
   * @param gap called when notifications come from now on, and those of before may be lost
   */
  subscribe(channel: Channel, wake: (payload: string) => void, gap: () => void = () => undefined): () => void {
    const subscriber = { channel, wake, gap };
    this.#subscribers.add(subscriber);
    if (this.#client === undefined && this.#retry === undefined) void this.#connect();
    return () => this.#subscribers.delete(subscriber);
  }

  async #connect(): Promise<void> {
    this.#retry = undefined;
    if (this.#closed) return;
    const client = new Client({ connectionString: this.#databaseUrl.reveal(), connectionTimeoutMillis: 5000, keepAlive: true });
    this.#client = client;
    const again = (): void => {
      if (this.#client !== client) return;
      this.#client = undefined;
      void client.end().catch(() => undefined);
      if (!this.#closed) this.#retry = setTimeout(() => void this.#connect(), RECONNECT_MS).unref();
    };
    client.on('error', again);
    client.on('end', again);
    client.on('notification', ({ channel, payload }) => {
      for (const subscriber of this.#subscribers) if (subscriber.channel === channel) subscriber.wake(payload ?? '');
    });
    try {
      await client.connect();
      for (const channel of CHANNELS) await client.query(`LISTEN ${channel}`);
      for (const subscriber of this.#subscribers) subscriber.gap();
    } catch {
      again();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }
}
