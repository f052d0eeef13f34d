import type { PublishedLedger } from '@fleetroot/authority';
import { type Clock, PkiError, type Secret } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { Copier } from '../copies/copier.ts';
import { DirectoryTarget } from '../copies/directory.ts';
import { PublishedObjects } from '../copies/objects.ts';
import { type S3Options, S3Target } from '../copies/s3.ts';
import type { CopyTarget } from '../copies/target.ts';
import type { Task } from '../task.ts';

/** Where copies go; both may be. */
export interface CopyRule {
  readonly directory?: string | undefined;
  readonly s3?: S3Options | undefined;
}

export interface CopySettings {
  readonly copyDir: string | undefined;
  readonly copyS3Endpoint: string | undefined;
  readonly copyS3Bucket: string | undefined;
  readonly copyS3Region: string;
  readonly copyS3Prefix: string | undefined;
  readonly copyS3AccessKeyId: Secret | undefined;
  readonly copyS3SecretAccessKey: Secret | undefined;
}

export interface CopyParts {
  readonly published: PublishedLedger;
  readonly targets: readonly CopyTarget[];
  /** Told after each round, by target. */
  readonly beat: (target: string, figures: Readonly<Record<string, number>>) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
}

/** A delta is in the copies within seconds of its publication. */
const EVERY_MS = 2000;

/** @throws PkiError `config.invalid` */
export function copyRule(settings: CopySettings): CopyRule {
  const { copyS3Endpoint: endpoint, copyS3Bucket: bucket, copyS3AccessKeyId: id, copyS3SecretAccessKey: secretAccessKey, copyS3Prefix: prefix = '' } = settings;
  const given = [endpoint, bucket, id, secretAccessKey].filter((value) => value !== undefined).length;
  if (given === 0) return { directory: settings.copyDir };
  if (endpoint === undefined || bucket === undefined || id === undefined || secretAccessKey === undefined) {
    throw new PkiError('config.invalid', 'copies to S3 need FLEETROOT_COPY_S3_ENDPOINT, _BUCKET, _ACCESS_KEY_ID_FILE and _SECRET_ACCESS_KEY_FILE, all of them');
  }
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) throw new PkiError('config.invalid', 'FLEETROOT_COPY_S3_ENDPOINT must be an http or https URL');
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) throw new PkiError('config.invalid', 'FLEETROOT_COPY_S3_BUCKET is no name of a bucket');
  if (prefix !== '' && !/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*\/$/.test(prefix)) throw new PkiError('config.invalid', 'FLEETROOT_COPY_S3_PREFIX must end with a slash and not begin with one');
  return { directory: settings.copyDir, s3: { endpoint, bucket, prefix, region: settings.copyS3Region, accessKeyId: id.reveal(), secretAccessKey } };
}

export const copyTargets = ({ directory, s3 }: CopyRule, clock: Clock): readonly CopyTarget[] => [
  ...(directory === undefined ? [] : [new DirectoryTarget(directory)]), ...(s3 === undefined ? [] : [new S3Target(s3, clock)]),
];

/** Copies what is published to where a CDN takes it from. A target that fails keeps no other. */
export function copiesTask({ published, targets, beat, clock, logger, everyMs }: CopyParts): Task {
  const objects = new PublishedObjects(published, clock);
  const copiers = targets.map((target) => new Copier(target, clock, logger));
  return {
    name: 'copies', everyMs: Math.min(EVERY_MS, everyMs), runsOn: 'leader',
    async run(signal) {
      const all = await objects.all();
      await Promise.all(copiers.map(async (copier) => {
        const { failed, behindSeconds } = await copier.round(all, signal);
        await beat(copier.name, { objects: all.length, failed, behindSeconds });
      }));
    },
  };
}
