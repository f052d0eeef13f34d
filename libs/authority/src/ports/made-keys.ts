import type { AuditEvent } from '@fleetroot/audit';

/** To whom a key goes: `cms`, to the holder of a certificate; `pkcs12`, to who knows a password. */
export type DeliveryKind = 'cms' | 'pkcs12';

/** Private keys that were made here for items of one chunk, each encrypted for its receiver alone. */
export interface MadeKeys {
  readonly kind: DeliveryKind;
  /** How long a key is held, by the database's clock, unless its delivery is acknowledged before; milliseconds. */
  readonly lifetimeMs: number;
  /** `cms`: ContentInfo with EnvelopedData; `pkcs12`: EncryptedPrivateKeyInfo; DER. */
  readonly keys: readonly { readonly ordinal: number; readonly envelope: Uint8Array }[];
}

export interface KeyCounts {
  readonly kind: DeliveryKind;
  readonly made: number;
  /** Handed out once at least. */
  readonly delivered: number;
  readonly deleted: number;
  /** When the first of them is deleted, delivered or not. */
  readonly expiresAt: Date;
}

export interface HeldKey {
  readonly kind: DeliveryKind;
  readonly envelope: Uint8Array;
}

/** Keys enter with their chunk (BatchLedger.append). Every method is one transaction, durable on return, its events in it (I26). */
export interface MadeKeyLedger {
  /** undefined: no key was made for the batch. */
  counts(batchId: string): Promise<KeyCounts | undefined>;
  /**
   * Changes nothing.
   * @throws PkiError `key.not-found`: none was made for this item; `key.gone` where it was deleted, or its time has run out
   */
  held(batchId: string, ordinal: number): Promise<HeldKey>;
  /** One key of the batch that is still held; undefined: none is. */
  anyHeld(batchId: string): Promise<HeldKey | undefined>;
  /** As `held`, and puts on record that the key was handed out. It may be, again and again, until it is deleted. */
  deliver(batchId: string, ordinal: number, event: AuditEvent): Promise<HeldKey>;
  /**
   * Deletes keys whose receiver has them. Those that were deleted before are left as they are.
   * @returns how many were deleted now
   * @throws PkiError `key.not-found`, `key.not-delivered` for an item of which no key was made, or handed out: then none is
   */
  acknowledge(batchId: string, ordinals: readonly number[], event: (ordinal: number) => AuditEvent): Promise<number>;
  /** Deletes keys whose time has run out, and keys of items that are decided and got no certificate; at most `limit`. Returns how many. */
  deleteDue(limit: number, event: (key: DueKey) => AuditEvent): Promise<number>;
}

export interface DueKey {
  readonly batchId: string;
  readonly ordinal: number;
  readonly why: 'expired' | 'no-certificate';
}
