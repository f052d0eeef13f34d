import { type BeforeApplicationShutdown, type DynamicModule, Inject, Module, type OnApplicationBootstrap } from '@nestjs/common';
import { type FilterLedger, Issuance, type IssuanceParts } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import { publishFilter } from '@fleetroot/filter';
import { JobRunner, type JobHandlers, type QueueOptions, type RunnerSettings } from '@fleetroot/queue';
import { CrlPublisher, type CrlPublisherParts } from './crl-publisher.ts';
import { Heartbeat, type HeartbeatParts } from './heartbeat.ts';
import { SingleRequests, type SingleRequestsParts } from './single-requests.ts';

export interface IssuerParts {
  readonly issuance: Omit<IssuanceParts, 'shards'>;
  readonly crls: Omit<CrlPublisherParts, 'authorities' | 'signer' | 'clock'>;
  readonly filters: FilterLedger;
  readonly filterLifetimeMs: number;
  readonly queue: QueueOptions;
  readonly runner: RunnerSettings;
  readonly singles: Omit<SingleRequestsParts, 'issuance' | 'ledger'>;
  readonly heartbeat: HeartbeatParts;
}

const PARTS = Symbol('issuer parts');

/** Publishes the revocation filter of a CA by its id. @throws PkiError `ca.not-found` and those of `publishFilter` */
async function publishFilterOf(caId: number, { issuance: { authorities, signer, clock, random }, filters, filterLifetimeMs }: IssuerParts): Promise<void> {
  const authority = (await authorities.all()).find(({ id }) => id === caId);
  if (authority === undefined) throw new PkiError('ca.not-found', `there is no CA ${caId} in the ledger`);
  await publishFilter({ filters, authority, signer, clock, random, lifetimeMs: filterLifetimeMs });
}

const handlersOf = (issuance: Issuance, crls: CrlPublisher, parts: IssuerParts): JobHandlers => ({
  // A chunk that is done, or in other hands, is no fault: the job was delivered twice (I21).
  'issue-chunk': async ({ chunkId }) => { await issuance.issueChunk(BigInt(chunkId)); },
  'renew-chunk': async ({ chunkId }) => { await issuance.issueChunk(BigInt(chunkId)); },
  'publish-crl': ({ caId }) => crls.publish(caId),
  'publish-filter': ({ caId }) => publishFilterOf(caId, parts),
});

/** Begins to take jobs when everything is there, and ends in the other order. */
class Work implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #runner: JobRunner;
  readonly #singles: SingleRequests;
  readonly #heartbeat: Heartbeat;

  constructor(@Inject(JobRunner) runner: JobRunner, @Inject(SingleRequests) singles: SingleRequests, @Inject(Heartbeat) heartbeat: Heartbeat) {
    this.#runner = runner;
    this.#singles = singles;
    this.#heartbeat = heartbeat;
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.#runner.start();
    this.#singles.start();
    this.#heartbeat.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#heartbeat.stop();
    await Promise.all([this.#runner.close(), this.#singles.close()]);
  }
}

@Module({})
class IssuerModule {}

/** The issuer as Nest sees it: no controller and no listener, only jobs. */
export function issuerModule(parts: IssuerParts): DynamicModule {
  return {
    module: IssuerModule,
    providers: [
      { provide: PARTS, useValue: parts },
      {
        provide: CrlPublisher,
        useFactory: ({ issuance: { authorities, signer, clock }, crls }: IssuerParts) => new CrlPublisher({ ...crls, authorities, signer, clock }), inject: [PARTS],
      },
      {
        provide: Issuance, useFactory: ({ issuance }: IssuerParts, crls: CrlPublisher) => new Issuance({ ...issuance, shards: crls }),
        inject: [PARTS, CrlPublisher],
      },
      {
        provide: JobRunner,
        useFactory: (given: IssuerParts, issuance: Issuance, crls: CrlPublisher) =>
          new JobRunner(given.queue, 'issuer', handlersOf(issuance, crls, given), given.runner),
        inject: [PARTS, Issuance, CrlPublisher],
      },
      {
        provide: SingleRequests,
        useFactory: ({ issuance: { ledger }, singles }: IssuerParts, issuance: Issuance) => new SingleRequests({ ...singles, issuance, ledger }),
        inject: [PARTS, Issuance],
      },
      { provide: Heartbeat, useFactory: ({ heartbeat }: IssuerParts) => new Heartbeat(heartbeat), inject: [PARTS] },
      Work,
    ],
  };
}
