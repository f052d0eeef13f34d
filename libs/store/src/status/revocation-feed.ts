import type { ChangedRevocation, RevocationChanges, RevocationFeed } from '@fleetroot/trust';
import type { Queryable } from '../database.ts';
import type { Listener } from '../listener.ts';

/** One row at least, for the time: that of the statement's begin, before anything it does not see. */
const CHANGES = `
  SELECT t.at, r.ca_id, r.serial, r.changed_at, r.spki_sha256
  FROM (SELECT statement_timestamp() AS at) t
  LEFT JOIN LATERAL (
    SELECT changed.ca_id, changed.serial, changed.changed_at,
           CASE changed.reason WHEN 1 THEN (SELECT spki_sha256 FROM certificate c WHERE c.ca_id = changed.ca_id AND c.serial = changed.serial LIMIT 1) END AS spki_sha256
    FROM ca, LATERAL (
      SELECT ca_id, serial, reason, changed_at FROM revocation WHERE revocation.ca_id = ca.id AND changed_at > $1 ORDER BY changed_at DESC LIMIT $2) changed
    WHERE $1::timestamptz IS NOT NULL) r ON true`;

interface ChangeRow {
  readonly at: Date;
  /** null: nothing has changed. */
  readonly ca_id: number | null;
  readonly serial: Buffer;
  readonly changed_at: Date;
  readonly spki_sha256: Buffer | null;
}

/** What a notification is about; `serial` in hex, undefined: any of the CA's. */
interface RevokedNotice {
  readonly caId: number;
  readonly serial: string | undefined;
}

/** Reads a payload of `fleetroot_revoked`, `CA/SERIAL` in hex or `CA/*` of many, as the trigger `tell_revoked` writes it. undefined: neither. */
function readRevokedNotice(payload: string): RevokedNotice | undefined {
  const [, ca, serial] = /^(\d+)\/(\*|(?:[0-9a-f]{2})+)$/.exec(payload) ?? [];
  return ca === undefined ? undefined : { caId: Number(ca), serial: serial === '*' ? undefined : serial };
}

export class PostgresRevocationFeed implements RevocationFeed {
  readonly #database: Queryable;
  readonly #listener: Pick<Listener, 'subscribe'>;

  constructor(database: Queryable, listener: Pick<Listener, 'subscribe'>) {
    this.#database = database;
    this.#listener = listener;
  }

  async changes(since: Date | undefined, limit: number): Promise<RevocationChanges> {
    const rows = await this.#database.query<ChangeRow>(CHANGES, [since ?? null, limit]);
    return {
      at: rows[0]?.at ?? new Date(0),
      changed: rows.flatMap(({ ca_id: caId, serial, changed_at: changedAt, spki_sha256: keySha256 }): ChangedRevocation[] =>
        caId === null ? [] : [{ caId, serial, changedAt, ...(keySha256 === null ? {} : { keySha256 }) }]),
    };
  }

  listen(told: (caId: number, serial: string | undefined) => void, gap: () => void): () => void {
    return this.#listener.subscribe('fleetroot_revoked', (payload) => {
      const notice = readRevokedNotice(payload);
      if (notice === undefined) gap();
      else told(notice.caId, notice.serial);
    }, gap);
  }
}
