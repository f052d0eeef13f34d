import type { EcuSerial, ErrorCode, PartNumber } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';

export interface Supplier {
  readonly id: number;
  readonly name: string;
  /** DER of the CA that signs its factory certificates. */
  readonly certificate: Uint8Array;
  readonly disabledAt: Date | undefined;
}

export interface SupplierLedger {
  all(): Promise<readonly Supplier[]>;
  /** @throws PkiError `supplier.conflict` */
  register(name: string, certificate: Uint8Array, event: AuditEvent): Promise<Supplier>;
}

/** The ECU that a factory certificate names, proven by a validated path and the TLS handshake. */
export interface FactoryIdentity {
  readonly supplierId: number;
  readonly ecuSerial: EcuSerial;
  readonly partNumber: PartNumber;
  /** SHA-256 of the factory certificate's SubjectPublicKeyInfo. */
  readonly factoryKeySha256: Uint8Array;
  readonly certificateSha256: Uint8Array;
}

export interface RefusedConnection {
  readonly at: Date;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly supplierId?: number;
  readonly ecuSerial?: string;
  readonly certificateSha256?: Uint8Array;
}

export interface RegistrationRecord {
  readonly id: bigint;
  readonly at: Date;
  readonly outcome: 'registered' | 'known' | 'refused';
  readonly code: string | undefined;
  readonly detail: string | undefined;
  readonly supplier: string | undefined;
  readonly ecuSerial: string | undefined;
}

export interface RegistrationLedger {
  /**
   * Registers the ECU once. A second connection with the same factory key changes nothing and says `known`. An ECU that
   * a line's batch put on record before is completed.
   * @throws PkiError `registration.identity-conflict` where it is on record with another factory key,
   *   `ecu.part-number-conflict` with another part number
   */
  register(identity: FactoryIdentity, at: Date, event: AuditEvent): Promise<'registered' | 'known'>;
  /** Keeps a refusal with its reason. */
  refuse(refusal: RefusedConnection): Promise<void>;
  /** Newest first, ids below `before`. */
  list(before: bigint | undefined, limit: number): Promise<readonly RegistrationRecord[]>;
}
