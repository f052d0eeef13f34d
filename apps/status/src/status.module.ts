import { type DynamicModule, Module } from '@nestjs/common';
import type { Clock } from '@fleetroot/core';
import { type HealthOptions, healthModule, metricsModule } from '@fleetroot/http';
import type { Metrics } from '@fleetroot/telemetry';
import { Enrolment } from './enrolment.ts';
import { EnrolmentController } from './enrolment.controller.ts';
import { Filters } from './filters.ts';
import { FiltersController } from './filters.controller.ts';
import { OcspController } from './ocsp.controller.ts';
import { OcspFront } from './ocsp-front.ts';
import { Published } from './published.ts';
import { CLOCK, PublishedController } from './published.controller.ts';

export interface StatusParts {
  readonly ocsp: OcspFront;
  readonly published: Published;
  readonly filters: Filters;
  readonly clock: Clock;
  readonly health: HealthOptions;
}

@Module({})
class StatusModule {}

/** The public listener: read-only, and without a way to the ledger's tables that could write. */
export function statusModule(parts: StatusParts): DynamicModule {
  return {
    module: StatusModule,
    imports: [healthModule(parts.health)],
    controllers: [OcspController, PublishedController, FiltersController],
    providers: [
      { provide: OcspFront, useValue: parts.ocsp },
      { provide: Published, useValue: parts.published },
      { provide: Filters, useValue: parts.filters },
      { provide: CLOCK, useValue: parts.clock },
    ],
  };
}

@Module({})
class InternalModule {}

/** The listener that the worker fetches OCSP signer requests from, and monitoring the metrics. */
export function internalModule(enrolment: Enrolment, metrics: Metrics): DynamicModule {
  return { module: InternalModule, imports: [metricsModule(metrics, 'public')], controllers: [EnrolmentController], providers: [{ provide: Enrolment, useValue: enrolment }] };
}
