import { hash } from 'node:crypto';
import { isPkiError } from '@fleetroot/core';
import type { Authenticate, HttpPrincipal } from '@fleetroot/http';

/** So old, in milliseconds, may be what is known of a token where a gateway asks thousands of times a second. */
const RECENT_MS = 1000;
const MOST = 1000;

interface Known {
  readonly at: number;
  readonly principal: Promise<HttpPrincipal | undefined>;
}

/** Whose a token is, asked once a second at most; while the database is away, what was known last. */
export class TokenMemory {
  readonly #authenticate: (token: string) => Promise<HttpPrincipal | undefined>;
  readonly #staleMs: number;
  /** By the hash of the token: no token stays in memory. */
  readonly #known = new Map<string, Known>();

  /** @param staleMs for so long what was known last is believed while the database is away */
  constructor(authenticate: (token: string) => Promise<HttpPrincipal | undefined>, staleMs: number) {
    this.#authenticate = authenticate;
    this.#staleMs = staleMs;
  }

  /** @throws PkiError `store.unavailable` */
  readonly principalOf: (token: string) => ReturnType<Authenticate> = (token) => {
    const name = hash('sha256', token, 'base64');
    const before = this.#known.get(name);
    const now = performance.now();
    if (before !== undefined && now - before.at < RECENT_MS) return before.principal;
    const principal = this.#authenticate(token).catch((error: unknown) => {
      const away = isPkiError(error) && error.code === 'store.unavailable';
      if (this.#known.get(name)?.principal === principal) this.#known.delete(name);
      if (!away || before === undefined || now - before.at > this.#staleMs) throw error;
      // Kept at its age: it is asked for anew each time.
      this.#known.set(name, before);
      return before.principal;
    });
    principal.catch(() => undefined);
    this.#known.delete(name);
    this.#known.set(name, { at: now, principal });
    const [oldest] = this.#known.size > MOST ? this.#known.keys() : [];
    if (oldest !== undefined) this.#known.delete(oldest);
    return principal;
  };
}
