import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A way to a server that can be cut in the middle, and closed for a while. */
export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #open = true;
  /** Octets to go until all is cut, and then again; undefined: it is not. */
  #cutting: { readonly each: number; left: number; times: number } | undefined;
  #cuts = 0;

  constructor(to: string) {
    const { hostname, port } = new URL(to);
    this.#server = createServer((near) => {
      if (!this.#open) return void near.resetAndDestroy();
      const far = connect(Number(port), hostname);
      for (const [from, into] of [[near, far], [far, near]] as const) {
        this.#sockets.add(from);
        from.on('error', () => undefined).on('close', () => {
          this.#sockets.delete(from);
          into.destroy();
        });
        from.pipe(into);
        from.on('data', (octets: Buffer) => this.#passed(octets.length));
      }
    });
  }

  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`));
    });
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** Ends every connection at once, without a goodbye. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Cuts whenever so many octets have passed, both ways together, so many times. */
  cutEach(octets: number, times: number): void {
    this.#cutting = { each: octets, left: octets, times };
  }

  /** How often it was cut by `cutEach`. */
  get cuts(): number {
    return this.#cuts;
  }

  #passed(octets: number): void {
    const cutting = this.#cutting;
    if (cutting === undefined || this.#cuts >= cutting.times || (cutting.left -= octets) > 0) return;
    cutting.left = cutting.each;
    this.#cuts++;
    this.cut();
  }

  /** Lets nothing through, or again. */
  pass(open: boolean): void {
    this.#open = open;
    if (!open) this.cut();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
