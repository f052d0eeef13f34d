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
  readonly #channels: readonly Channel[];
  readonly #subscribers = new Set<{ readonly channel: Channel; readonly wake: (payload: string) => void; readonly connected?: () => void }>();
  #client: Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param channels what is listened for, subscribed to or not */
  constructor(databaseUrl: Secret, channels: readonly Channel[] = CHANNELS) {
    this.#databaseUrl = databaseUrl;
    this.#channels = channels;
  }

  /**
   * Calls `wake` at each notification until the returned function is called; `connected` each time that listening begins:
   * what was told before then is lost. Connects at the first subscription.
   */
  subscribe(channel: Channel, wake: (payload: string) => void, connected?: () => void): () => void {
    const subscriber = { channel, wake, ...(connected === undefined ? {} : { connected }) };
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
      for (const channel of this.#channels) await client.query(`LISTEN ${channel}`);
      for (const subscriber of this.#subscribers) subscriber.connected?.();
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
