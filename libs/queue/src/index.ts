export { type QueueOptions, queueOptions } from './backend.ts';
export { isJobName, jobCatalogue, jobKey, jobNames, type JobName, type JobPayload, type JobRole } from './jobs.ts';
export { type AddOptions, JobProducer, type NewJob, type ProducerSettings } from './job-producer.ts';
export { type JobHandler, type JobHandlers, JobRunner, type RunnerLog, type RunnerSettings } from './job-runner.ts';
export { type Outbox, type OutboxRow, type Relayed, relayOutbox } from './outbox.ts';
export { retryDelayMs } from './retry.ts';
