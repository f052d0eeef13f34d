import { Controller, type DynamicModule, Get, Module, Res } from '@nestjs/common';
import type { Metrics } from '@fleetroot/telemetry';
import type { FastifyReply } from 'fastify';
import { Public, Roles } from './route.ts';

@Module({})
class MetricsModule {}

/**
 * `/metrics` (Prometheus text), for the roles of `access`. How many certificates a plant makes is nobody's business:
 * 'public' only on a listener that is not.
 */
export function metricsModule(metrics: Pick<Metrics, 'render' | 'contentType'>, access: 'public' | readonly string[]): DynamicModule {
  @Controller('metrics')
  class MetricsController {
    @Get() @(access === 'public' ? Public() : Roles(...access))
    async metrics(@Res() reply: FastifyReply): Promise<void> {
      await reply.type(metrics.contentType).header('cache-control', 'no-store').send(await metrics.render());
    }
  }
  return { module: MetricsModule, controllers: [MetricsController] };
}
