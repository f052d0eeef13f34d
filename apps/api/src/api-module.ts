import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import type { ApprovalRule } from '@fleetroot/authority';
import { Breath, type Clock } from '@fleetroot/core';
import { EcuPace, FirstConnection } from '@fleetroot/fleet';
import type { Pace } from '@fleetroot/http';
import { Authorities } from './authorities.ts';
import { AuthorizeController } from './authorize/authorize.controller.ts';
import { GatewayChecks } from './authorize/gateway-checks.ts';
import { BatchReception } from './batches/batch-reception.ts';
import { BatchesController } from './batches/batches.controller.ts';
import { CaImportsController } from './cas/ca-imports.controller.ts';
import { CaLifeController } from './cas/ca-life.controller.ts';
import { CasController } from './cas/cas.controller.ts';
import { CertificatesController } from './certificates/certificates.controller.ts';
import { IssuanceOnRequest } from './certificates/issuance-on-request.ts';
import { DeviceIssuance } from './device/device-issuance.ts';
import { DeviceController } from './device/device.controller.ts';
import { OperationalCertificates } from './device/operational-certificate.ts';
import { KeyBatchesController } from './key-batches/key-batches.controller.ts';
import { KeyDelivery } from './key-batches/key-delivery.ts';
import { KeyMaking } from './key-batches/key-making.ts';
import type { Ledger } from './ledger.ts';
import { DocsController, DOCUMENT } from './openapi/docs.controller.ts';
import { OutboxRelay } from './outbox-relay.ts';
import { ProfileCatalogue } from './profile-catalogue.ts';
import { AuditController } from './resources/audit.controller.ts';
import { PrincipalsController } from './resources/principals.controller.ts';
import { ProfilesController } from './resources/profiles.controller.ts';
import { SuppliersController } from './resources/suppliers.controller.ts';
import { TruststoresController } from './resources/truststores.controller.ts';
import { CompromiseProofs } from './revocations/compromise-proofs.ts';
import { ProofsController } from './revocations/proofs.controller.ts';
import { RevocationsController } from './revocations/revocations.controller.ts';
import { UploadReception } from './uploads/upload-reception.ts';
import { UploadsController } from './uploads/uploads.controller.ts';
import { APPROVAL_RULES, BODY_PACE, CLOCK, CLOSING, LEDGER } from './tokens.ts';

/** What both listeners are made of; made once, outside Nest. */
export interface ApiParts {
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Aborts when the process closes. */
  readonly closing: AbortSignal;
  /** Of a batch that is sent as a stream. */
  readonly bodyPace: Pace;
  readonly profiles: ProfileCatalogue;
  readonly authorities: Authorities;
  readonly relay: OutboxRelay;
  readonly reception: BatchReception;
  readonly uploads: UploadReception;
  readonly breath: Breath;
  readonly keyMaking: KeyMaking;
  readonly keyDelivery: KeyDelivery;
  readonly issuance: IssuanceOnRequest;
  readonly firstConnection: FirstConnection;
  readonly operational: OperationalCertificates;
  readonly deviceIssuance: DeviceIssuance;
  readonly pace: EcuPace;
  /** How many must agree to a revocation of so many. */
  readonly approvalRules: readonly ApprovalRule[];
  readonly proofs: CompromiseProofs;
  readonly gatewayChecks: GatewayChecks;
  /** The OpenAPI document; called when the routes are known. */
  readonly document: () => object;
}

@Module({})
class ApiModule {}

@Module({})
class DeviceModule {}

/** The REST API. `observation`: health and metrics. */
export function apiModule(parts: ApiParts, observation: readonly DynamicModule[]): DynamicModule {
  return {
    module: ApiModule,
    imports: [...observation],
    controllers: [
      BatchesController, UploadsController, KeyBatchesController, CertificatesController, ProofsController, RevocationsController, TruststoresController,
      AuthorizeController,
      CasController, CaImportsController, CaLifeController,
      ProfilesController, SuppliersController,
      PrincipalsController, AuditController, DocsController,
    ],
    providers: provided(parts),
  };
}

/** What ECUs call by mutual TLS. */
export function deviceModule(parts: ApiParts): DynamicModule {
  return { module: DeviceModule, controllers: [DeviceController], providers: provided(parts) };
}

function provided(parts: ApiParts): Provider[] {
  const tokens: [unknown, unknown][] = [
    [LEDGER, parts.ledger], [CLOCK, parts.clock], [CLOSING, parts.closing], [BODY_PACE, parts.bodyPace], [DOCUMENT, parts.document],
    [ProfileCatalogue, parts.profiles], [Authorities, parts.authorities], [OutboxRelay, parts.relay],
    [BatchReception, parts.reception], [UploadReception, parts.uploads], [Breath, parts.breath], [KeyMaking, parts.keyMaking], [KeyDelivery, parts.keyDelivery],
    [IssuanceOnRequest, parts.issuance], [FirstConnection, parts.firstConnection],
    [OperationalCertificates, parts.operational], [DeviceIssuance, parts.deviceIssuance], [EcuPace, parts.pace], [APPROVAL_RULES, parts.approvalRules],
    [CompromiseProofs, parts.proofs], [GatewayChecks, parts.gatewayChecks],
  ];
  return tokens.map(([provide, useValue]) => ({ provide, useValue }) as Provider);
}
