import { hash } from 'node:crypto';
import { type Clock, type ErrorCode, isPkiError, PkiError, toHex } from '@fleetroot/core';
import { type ParsedCertificate, type PathFailure, spkiSha256, type ValidatedPath, validatePath } from '@fleetroot/x509';
import type { EcuPace } from './ecu-pace.ts';
import { factoryIdentity } from './factory-identity.ts';
import type { FactoryIdentity, RefusedConnection, RegistrationLedger, Supplier, SupplierLedger } from './ports.ts';

export interface FirstConnectionDeps {
  readonly suppliers: Pick<SupplierLedger, 'all'>;
  readonly registrations: Pick<RegistrationLedger, 'register'>;
  /** `Refusals`, over the ledger. */
  readonly refusals: Pick<RegistrationLedger, 'refuse'>;
  readonly pace: Pick<EcuPace, 'count'>;
  /**
   * The name of a CA on record that is revoked or retired and that the path (leaf first) leads through or to; undefined:
   * none. Absent: no CA of a supplier is on record.
   */
  readonly distrusted?: (path: readonly ParsedCertificate[]) => Promise<string | undefined>;
  readonly clock: Clock;
}

export interface Admission {
  readonly identity: FactoryIdentity;
  /** `known`: the ECU was registered before, with the same key; nothing changed. */
  readonly outcome: 'registered' | 'known';
}

/** What is known of a connection so far, for the record of its refusal. */
type Known = { -readonly [Field in 'supplierId' | 'ecuSerial' | 'certificateSha256']?: RefusedConnection[Field] };

/** Registration of an ECU on its first connection, by the factory certificate of a registered supplier. */
export class FirstConnection {
  readonly #deps: FirstConnectionDeps;

  constructor(deps: FirstConnectionDeps) {
    this.#deps = deps;
  }

  /**
   * Validates the chain against the registered suppliers that are not disabled, and registers the ECU once. The caller
   * has seen the TLS handshake prove the key of the first certificate; nothing here does.
   * @param chainDer as the client sent it, DER, its own certificate first
   * @returns once the registration is durable
   * @throws PkiError `registration.*` or `ecu.part-number-conflict`: refused, and the refusal is on record. An error of
   *   another kind (the ledger is away, also where only the refusal could not be recorded) says nothing about the ECU:
   *   it may try again. So may it after `http.too-many-requests`
   */
  async admit(chainDer: readonly Uint8Array[]): Promise<Admission> {
    const at = this.#deps.clock.now();
    const known: Known = {};
    try {
      return await this.#admit(chainDer, at, known);
    } catch (error) {
      if (isRefusal(error)) {
        await this.#deps.refusals.refuse({ at, code: error.code, detail: error.message, ...known });
      }
      throw error;
    }
  }

  async #admit([leaf, ...intermediates]: readonly Uint8Array[], at: Date, known: Known): Promise<Admission> {
    if (leaf === undefined) throw new PkiError('registration.certificate-missing');
    known.certificateSha256 = hash('sha256', leaf, 'buffer');
    const { supplier, path } = findSupplier(await this.#deps.suppliers.all(), leaf, intermediates, at);
    known.supplierId = supplier.id;
    if (supplier.disabledAt !== undefined) {
      throw new PkiError('registration.supplier-disabled', `the supplier ${supplier.name} is disabled`);
    }
    const [certificate] = path.chain;
    if (certificate === undefined) throw new PkiError('internal', 'a valid path without a certificate');
    const distrusted = await this.#deps.distrusted?.(path.chain);
    if (distrusted !== undefined) throw new PkiError('registration.certificate-revoked', `the CA ${distrusted} in its path is revoked or retired`);
    const named = factoryIdentity(certificate);
    known.ecuSerial = named.ecuSerial;
    const identity: FactoryIdentity = {
      ...named, supplierId: supplier.id, factoryKeySha256: spkiSha256(certificate.spkiDer),
      certificateSha256: known.certificateSha256,
    };
    this.#deps.pace.count(toHex(identity.factoryKeySha256), at);
    const outcome = await this.#deps.registrations.register(identity, at, {
      action: 'ecu.registered', actor: `ecu:${identity.ecuSerial}`, at, subject: `ecu:${identity.ecuSerial}`,
      data: {
        supplier: supplier.name, partNumber: identity.partNumber,
        factoryKeySha256: toHex(identity.factoryKeySha256), certificateSha256: toHex(identity.certificateSha256),
      },
    });
    return { identity, outcome };
  }
}

/**
 * The supplier that the chain leads to. A disabled one is found too, but only where no other vouches for the chain.
 * @throws PkiError `registration.issuer-unknown`, `registration.certificate-expired`, `registration.path-invalid`
 */
function findSupplier(
  suppliers: readonly Supplier[], leaf: Uint8Array, intermediates: readonly Uint8Array[], time: Date,
): { supplier: Supplier; path: ValidatedPath } {
  const attempt = (candidates: readonly Supplier[]) => {
    const anchors = candidates.map(({ certificate }) => certificate);
    const path = validatePath({ leaf, intermediates, anchors, time, purpose: 'clientAuth' });
    const supplier = candidates[path.anchor];
    if (supplier === undefined) throw new PkiError('internal', 'a valid path without an anchor');
    return { supplier, path };
  };
  try {
    return attempt(suppliers.filter(({ disabledAt }) => disabledAt === undefined));
  } catch (error) {
    if (reasonOf(error) !== 'no-anchor') throw refusal(error);
  }
  try {
    return attempt(suppliers.filter(({ disabledAt }) => disabledAt !== undefined));
  } catch (error) {
    throw reasonOf(error) === undefined ? refusal(error) : new PkiError('registration.issuer-unknown');
  }
}

const reasonOf = (error: unknown): PathFailure | undefined =>
  isPkiError(error) && error.code === 'certificate.path-invalid' ? error.data['reason'] as PathFailure : undefined;

/** The refusal that a failed validation means; an error of another kind stays what it is. */
function refusal(error: unknown): unknown {
  if (!isPkiError(error)) return error;
  if (error.code === 'certificate.malformed') {
    return new PkiError('registration.path-invalid', error.message, { cause: error, data: error.data });
  }
  const reason = reasonOf(error);
  if (reason === undefined) return error;
  const code: ErrorCode = reason === 'expired' || reason === 'not-yet-valid'
    ? 'registration.certificate-expired' : 'registration.path-invalid';
  return new PkiError(code, error.message, { cause: error, data: error.data });
}

const isRefusal = (error: unknown): error is PkiError =>
  isPkiError(error) && (error.code.startsWith('registration.') || error.code === 'ecu.part-number-conflict');
