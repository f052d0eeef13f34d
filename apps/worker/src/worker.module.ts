import { type DynamicModule, Module } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { Schedule, SCHEDULED, type Scheduled } from './schedule.ts';

@Module({})
class WorkerModule {}

export function workerModule(scheduled: Scheduled): DynamicModule {
  return {
    module: WorkerModule,
    imports: [ScheduleModule.forRoot()],
    providers: [{ provide: SCHEDULED, useValue: scheduled }, Schedule],
  };
}
