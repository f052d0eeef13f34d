import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

interface Pair { readonly client: Socket; readonly server: Socket }

/** TCP between the product and a server: it can strand the connections there are, so that both ends believe in them. */
export class Proxy {
  readonly port: number;
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();

  private constructor(listener: Server, port: number) {
    this.#listener = listener;
    this.port = port;
  }

  static async open(to: number): Promise<Proxy> {
    const listener = createServer();
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    const proxy = new Proxy(listener, typeof address === 'object' && address !== null ? address.port : 0);
    listener.on('connection', (client) => proxy.#join({ client, server: createConnection({ port: to, host: '127.0.0.1' }) }));
    return proxy;
  }

  /** How many connections there are. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Of what is connected now nothing is forwarded any more, ever, and nothing is closed: half-open. New ones work. */
  strand(): void {
    for (const { client, server } of this.#pairs) {
      client.unpipe(server);
      server.unpipe(client);
      // What comes is swallowed, as by a firewall that forgot the connection.
      for (const end of [client, server]) end.removeAllListeners('end').removeAllListeners('close').resume();
    }
    this.#stranded.push(...this.#pairs);
    this.#pairs.clear();
  }
  readonly #stranded: Pair[] = [];

  async close(): Promise<void> {
    for (const { client, server } of [...this.#pairs, ...this.#stranded]) {
      client.destroy();
      server.destroy();
    }
    const closed = once(this.#listener, 'close');
    this.#listener.close();
    await closed;
  }

  #join(pair: Pair): void {
    const { client, server } = pair;
    this.#pairs.add(pair);
    const over = (other: Socket) => (): void => {
      this.#pairs.delete(pair);
      other.destroy();
    };
    for (const [one, other] of [[client, server], [server, client]] as const) {
      one.on('error', () => undefined);
      one.once('close', over(other));
      one.setNoDelay(true);
      one.pipe(other);
    }
  }
}
