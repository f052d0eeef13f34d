import { equalBytes } from '@fleetroot/core';
import { LeafIssuer, parseCertificate } from '@fleetroot/x509';
import type { ClientAuthority } from './ports.ts';

export interface AuthorityView extends ClientAuthority {
  /** Judges what it has signed. */
  readonly leaves: LeafIssuer;
  readonly keyIdentifier: Uint8Array | undefined;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface AuthorityViews {
  readonly byId: ReadonlyMap<number, AuthorityView>;
  /** By the DER of their names, an octet a character; several generations may have one name. */
  readonly bySubject: ReadonlyMap<string, readonly AuthorityView[]>;
}

/** What certificates are judged by, beside what is on record of each. */
export interface Surroundings {
  readonly authorities: AuthorityViews;
  /** Ids of CAs by the name of the truststore. */
  readonly truststores: ReadonlyMap<string, ReadonlySet<number>>;
}

/** CA certificates are parsed when they are seen first: they change once in years, and are read twice a second. */
export class AuthorityReader {
  #last: readonly (AuthorityView & { readonly subject: string })[] = [];
  #views: AuthorityViews = { byId: new Map(), bySubject: new Map() };

  /** The same object as before where nothing has changed. */
  read(all: readonly ClientAuthority[]): AuthorityViews {
    const before = new Map(this.#last.map((view) => [view.id, view]));
    const views = all.map((ca) => {
      const known = before.get(ca.id);
      if (known !== undefined && equalBytes(known.certificate, ca.certificate)) {
        return known.trusted === ca.trusted && known.revoked === ca.revoked && known.name === ca.name ? known : { ...known, ...ca };
      }
      const parsed = parseCertificate(ca.certificate);
      const { subjectDer, subjectKeyIdentifier, notBefore, notAfter } = parsed;
      return {
        ...ca, leaves: new LeafIssuer(parsed), keyIdentifier: subjectKeyIdentifier, subject: Buffer.from(subjectDer).toString('latin1'),
        notBefore: notBefore.getTime(), notAfter: notAfter.getTime(),
      };
    });
    if (views.length === this.#last.length && views.every((view, place) => view === this.#last[place])) return this.#views;
    const bySubject = new Map<string, AuthorityView[]>();
    for (const view of views) bySubject.set(view.subject, [...bySubject.get(view.subject) ?? [], view]);
    this.#last = views;
    this.#views = { byId: new Map(views.map((view) => [view.id, view])), bySubject };
    return this.#views;
  }
}
