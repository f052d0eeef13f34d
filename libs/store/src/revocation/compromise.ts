import type { AuditEvent } from '@fleetroot/audit';
import { type CompromiseLedger, type ProvenCompromise, revocationReasons } from '@fleetroot/authority';
import { type CaName, PkiError, type Serial, serialFromBytes, toHex } from '@fleetroot/core';
import { appendEvents } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';
import { askForCrl } from '../status/ask-for-crl.ts';
import { lockCompromise } from '../issuance/compromised-meanwhile.ts';
import { blockKey } from '../status/block-key.ts';
import { putRevocations } from '../status/revocation-row.ts';

interface OfKey {
  readonly ca_id: number;
  readonly ca: CaName;
  readonly serial: Buffer;
  readonly not_after: Date;
  readonly sha256: Buffer;
}

export class PostgresCompromiseLedger implements CompromiseLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  compromised(proven: ProvenCompromise): Promise<{ readonly changed: number; readonly certificates: readonly { readonly ca: CaName; readonly serial: Serial }[] }> {
    return this.#database.transaction(async (tx) => {
      const { publicKeySha256, revokedAt, principalId } = proven;
      // What is being stored is stored then; what is stored later finds the key blocked.
      await lockCompromise(tx);
      const owner = await ownerOf(tx, publicKeySha256);
      const certificates = await unexpiredOf(tx, publicKeySha256, owner.owner, revokedAt);
      const put = await putRevocations(tx, certificates.map(({ ca_id: caId, serial, not_after: notAfter }) => ({
        caId, serial, notAfter, reason: revocationReasons.keyCompromise, revokedAt, invalidityDate: undefined, principalId,
      })));
      const changed = certificates.filter((_, i) => put[i]?.outcome === 'new' || put[i]?.outcome === 'upgrade');
      const found = certificates.map(({ ca, serial }) => ({ ca, serial: serialFromBytes(serial) }));
      if (changed.length === 0 && owner.blocked) return { changed: 0, certificates: found };
      await blockKey(tx, publicKeySha256, owner.owner);
      for (const caId of new Set(changed.map(({ ca_id }) => ca_id))) await askForCrl(tx, caId);
      await appendEvents(tx, [keyCompromised(proven, changed.length), ...changed.map((certificate) => revoked(proven, certificate))]);
      return { changed: changed.length, certificates: found };
    });
  }
}

const ACTOR = 'system:api';

const keyCompromised = ({ publicKeySha256, proofSha256, revokedAt }: ProvenCompromise, certificates: number): AuditEvent => ({
  action: 'key.compromised', actor: ACTOR, at: revokedAt, subject: `key:${toHex(publicKeySha256)}`, data: { proofSha256: toHex(proofSha256), certificates },
});

const revoked = ({ proofSha256, revokedAt }: ProvenCompromise, { ca, serial, sha256 }: OfKey): AuditEvent => ({
  action: 'certificate.revoked', actor: ACTOR, at: revokedAt, subject: `certificate:${ca}/${serialFromBytes(serial)}`,
  data: { reason: 'keyCompromise', sha256: toHex(sha256), proofSha256: toHex(proofSha256) },
});

/** @throws PkiError `certificate.not-found`; `revocation.conflict` */
async function ownerOf(tx: Queryable, spkiSha256: Uint8Array): Promise<{ readonly owner: string; readonly blocked: boolean }> {
  const [row] = await tx.query<{ owner: string; blocked: boolean }>('SELECT owner, blocked FROM subject_key WHERE spki_sha256 = $1', [spkiSha256]);
  const [ca] = await tx.query<{ name: string }>('SELECT name FROM ca WHERE spki_sha256 = $1', [spkiSha256]);
  if (ca !== undefined) throw new PkiError('revocation.conflict', `this is the key of the CA ${ca.name}: an administrator must revoke the CA, and all that it has signed with it`);
  if (row === undefined) throw new PkiError('certificate.not-found', 'no certificate of this key was issued here');
  return row;
}

/** A key has one owner for ever, and certificates of an owner are found by an index. */
async function unexpiredOf(tx: Queryable, spkiSha256: Uint8Array, owner: string, now: Date): Promise<readonly OfKey[]> {
  const columns = `c.ca_id, ca.name AS ca, c.serial, c.not_after, sha256(c.der) AS sha256 FROM certificate c JOIN ca ON ca.id = c.ca_id`;
  const still = new Date(now.getTime() - 1000);
  if (owner.startsWith('ecu:')) {
    return tx.query<OfKey>(`SELECT ${columns} WHERE c.ecu_serial = $1 AND c.spki_sha256 = $2 AND c.not_after > $3 ORDER BY c.ca_id, c.serial`,
      [owner.slice('ecu:'.length), spkiSha256, still]);
  }
  return tx.query<OfKey>(`SELECT ${columns} WHERE c.ecu_serial IS NULL AND c.ca_id IN (SELECT id FROM ca) AND c.spki_sha256 = $1 AND c.not_after > $2 ORDER BY c.ca_id, c.serial`,
    [spkiSha256, still]);
}
