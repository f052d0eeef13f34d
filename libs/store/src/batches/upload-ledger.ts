import type { AuditEvent } from '@fleetroot/audit';
import type { AppendedPart, BatchProgress, BatchState, NewBatch, OpenedUpload, Upload, UploadLedger, UploadPlace } from '@fleetroot/authority';
import { crashPoint, equalBytes, type LedgerKey, PkiError } from '@fleetroot/core';
import type { Database, Queryable } from '../database.ts';
import { acceptBatch } from './accept.ts';
import { appendChunk } from './append.ts';
import { readBatch, UUID } from './batch-row.ts';
import { insertBatch } from './open-batch.ts';

interface UploadRow {
  readonly id: string;
  readonly principal_id: number;
  readonly profile: string;
  readonly ca_id: number;
  readonly resend_of: string | null;
  readonly state: BatchState;
  readonly items: number;
  readonly body_sha256: Buffer;
  readonly received_at: Date;
  readonly in_parts: boolean;
}

const SELECT = `
  SELECT b.id, b.principal_id, p.name AS profile, b.ca_id, b.resend_of, b.state, b.items, b.body_sha256, b.received_at, b.in_parts
  FROM batch b JOIN profile_version p ON p.id = b.profile_version_id`;

export class PostgresUploadLedger implements UploadLedger {
  readonly #database: Database;
  readonly #key: LedgerKey;

  constructor(database: Database, key: LedgerKey) {
    this.#database = database;
    this.#key = key;
  }

  open(batch: NewBatch): Promise<OpenedUpload> {
    return this.#database.transaction(async (tx) => {
      const created = await insertBatch(tx, batch, true);
      const [row] = await tx.query<UploadRow>(
        `${SELECT} WHERE b.principal_id = $1 AND b.idempotency_key = $2`, [batch.principalId, batch.idempotencyKey]);
      // Discarded between the two statements: its sender may come again.
      if (row === undefined) throw new PkiError('idempotency.in-progress');
      if (!row.in_parts) throw new PkiError('idempotency.conflict', 'this Idempotency-Key is that of a batch which was sent in one: use a new one');
      return { upload: uploadOf(row), created: created !== undefined };
    });
  }

  read(id: string): Promise<Upload> {
    return readUpload(this.#database, id);
  }

  async append(id: string, at: UploadPlace, { items, failures, digest }: AppendedPart): Promise<void> {
    await this.#database.transaction(async (tx) => {
      // Its row is locked from here on; who waited for it finds the upload further on.
      const [guard] = await tx.query(
        `UPDATE batch SET body_sha256 = $2 WHERE id = $1 AND state = 'receiving' AND in_parts AND items = $3 AND body_sha256 = $4 RETURNING id`,
        [id, digest, at.received, at.digest]);
      if (guard === undefined) throw refusedPart(await readUpload(tx, id), at.received);
      await appendChunk(tx, this.#key, id, items, failures);
    });
    crashPoint('batch.appended');
  }

  accept(id: string, at: UploadPlace, event: AuditEvent): Promise<{ readonly batch: BatchProgress; readonly created: boolean }> {
    return this.#database.transaction(async (tx) => {
      const upload = await readUpload(tx, id, 'FOR NO KEY UPDATE OF b');
      const same = upload.received === at.received && equalBytes(upload.digest, at.digest);
      const created = upload.state === 'receiving';
      if (!same) throw created ? incomplete(upload) : new PkiError('idempotency.conflict', 'the upload was accepted with other items');
      if (created) await acceptBatch(tx, id, at.digest, [event]);
      return { batch: await readBatch(tx, id), created };
    });
  }

  async discard(id: string): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const { state } = await readUpload(tx, id, 'FOR UPDATE OF b');
      if (state !== 'receiving') throw new PkiError('upload.accepted', 'the upload was accepted: cancel the batch');
      await tx.query('DELETE FROM batch WHERE id = $1', [id]);
    });
  }
}

async function readUpload(queryable: Queryable, id: string, lock: '' | 'FOR UPDATE OF b' | 'FOR NO KEY UPDATE OF b' = ''): Promise<Upload> {
  const rows = UUID.test(id) ? await queryable.query<UploadRow>(`${SELECT} WHERE b.id = $1 AND b.in_parts ${lock}`, [id]) : [];
  if (rows[0] === undefined) throw new PkiError('batch.not-found', 'no upload of this id: it was never opened, or discarded');
  return uploadOf(rows[0]);
}

/** Why a part that was to begin at `from` was not taken; also where its sender lost a race. */
function refusedPart({ state, received }: Upload, from: number): PkiError {
  if (state !== 'receiving' && from === received) return new PkiError('upload.accepted', 'the upload was accepted: it takes no more items');
  return new PkiError('upload.offset', `the upload has ${received} items: go on with ?from=${received}`, { data: { received } });
}

const incomplete = ({ received }: Upload): PkiError =>
  new PkiError('upload.incomplete', `what was received, ${received} items, is not what you say you sent: compare its digest, then send the rest or begin anew`, { data: { received } });

function uploadOf(row: UploadRow): Upload {
  return {
    id: row.id, principalId: row.principal_id, profile: row.profile, caId: row.ca_id, resendOf: row.resend_of ?? undefined,
    state: row.state, received: row.items, digest: row.body_sha256, receivedAt: row.received_at,
  };
}
