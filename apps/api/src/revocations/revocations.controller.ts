import { randomUUID } from 'node:crypto';
import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Query, Res } from '@nestjs/common';
import {
  type ApprovalRule, approvalsNeeded, MAX_REVOCATION_TARGETS, revocationApproved, revocationCancelled, type RevocationJob, revocationRequested,
} from '@fleetroot/authority';
import { type Clock, PkiError, toHex } from '@fleetroot/core';
import { Caller, type HttpPrincipal, Limits, ZodPipe } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { idempotencyKey } from '../idempotency-key.ts';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { OutboxRelay } from '../outbox-relay.ts';
import { pageLimit } from '../page.ts';
import { Roles } from '../roles.ts';
import { APPROVAL_RULES, CLOCK, LEDGER } from '../tokens.ts';
import {
  approvalBody, newRevocationsBody, previewSchema, queryOf, revocationJobBody, revocationJobSchema, targetBody, targetSchema,
} from './revocation-body.ts';

/** A dry run lists so many. */
const LISTED = 100;
/** So many are revoked before the answer; more are left to the worker. */
const AT_ONCE = 100;

const jobPage = z.object({ items: z.array(revocationJobSchema), nextCursor: z.string().nullable() }).meta({ id: 'RevocationJobPage' });
const targetPage = z.object({ items: z.array(targetSchema), nextFrom: z.int().nullable() }).meta({ id: 'RevocationTargetPage' });
const listQuery = z.strictObject({ limit: pageLimit, cursor: z.uuid().optional().meta({ description: 'nextCursor of the page before' }) });
const targetsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(10_000).default(500),
  from: z.coerce.number().int().min(0).max(MAX_REVOCATION_TARGETS).default(0).meta({ description: 'place of the first target of this page' }),
  outcome: z.enum(['new', 'upgrade', 'same', 'conflict', 'released', 'gone']).optional(),
});

type JobBody = z.infer<typeof revocationJobSchema>;

/** Revocations of more than one certificate: what a query finds, fixed when it is asked for. */
@Controller('v1/revocations')
@Roles('security', 'admin')
export class RevocationsController {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #relay: OutboxRelay;
  readonly #rules: readonly ApprovalRule[];

  constructor(
    @Inject(LEDGER) ledger: Ledger, @Inject(CLOCK) clock: Clock, @Inject(OutboxRelay) relay: OutboxRelay,
    @Inject(APPROVAL_RULES) rules: readonly ApprovalRule[],
  ) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#relay = relay;
    this.#rules = rules;
  }

  @Post() @HttpCode(202)
  @Limits({ streaming: true })
  @Operation({
    tag: 'Revocations', summary: 'Revokes what a query finds',
    description: 'Its targets are fixed before the answer. A hundred or fewer are revoked by then, more by a job; a large one waits for approvals. '
      + 'A second reason never weakens the first: such targets are counted as conflict, and stay as they are. removeFromCRL finds, and releases, what is on hold.',
    headers: { 'Idempotency-Key': { description: 'A new one for each revocation; the same one finds it again. Not needed for a dry run.', required: false } },
    body: { 'application/json': newRevocationsBody },
    responses: {
      200: { description: 'A dry run; or a revocation that is done, or that this Idempotency-Key had asked for before', content: { 'application/json': z.union([revocationJobSchema, previewSchema]) } },
      202: { description: 'It runs, or waits for approvals', content: { 'application/json': revocationJobSchema }, headers: { Location: 'The revocation' } },
    },
  })
  async create(
    @Caller() principal: HttpPrincipal, @Headers('idempotency-key') header: string | undefined,
    @Body(new ZodPipe(newRevocationsBody)) body: z.output<typeof newRevocationsBody>, @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<JobBody | z.infer<typeof previewSchema>> {
    const query = queryOf(body.query);
    const now = this.#clock.now();
    const invalidityDate = body.invalidityDate === undefined ? undefined : new Date(body.invalidityDate);
    if (invalidityDate !== undefined && invalidityDate > now) {
      throw new PkiError('http.body-invalid', 'invalidityDate: lies in the future', { data: { field: 'invalidityDate' } });
    }
    const { revocationJobs } = this.#ledger;
    const approvalsFor = (targets: number): number => approvalsNeeded(this.#rules, targets);
    if (body.dryRun) {
      const { targets, targetsSha256, first } = await revocationJobs.preview(query, body.reason, LISTED);
      void reply.code(200);
      return { dryRun: true, targets, targetsSha256: toHex(targetsSha256), approvalsNeeded: approvalsFor(targets), first: first.map(targetBody) };
    }
    const { job, created } = await revocationJobs.create({
      id: randomUUID(), principalId: principal.id, idempotencyKey: idempotencyKey(header), reason: body.reason, invalidityDate, query, approvalsFor,
    }, (made) => revocationRequested(made, actorOf(principal), now));
    const current = await this.#atOnce(job);
    void reply.code(created && current.state !== 'done' ? 202 : 200).header('location', `/v1/revocations/${job.id}`);
    return revocationJobBody(current);
  }

  @Get() @Roles('security', 'admin', 'auditor')
  @Operation({
    tag: 'Revocations', summary: 'Lists revocations by query, newest first', query: listQuery,
    responses: { 200: { description: 'A page', content: { 'application/json': jobPage } } },
  })
  async list(@Query(new ZodPipe(listQuery, 'http.query-invalid')) { limit, cursor }: z.output<typeof listQuery>): Promise<z.infer<typeof jobPage>> {
    const rows = await this.#ledger.revocationJobs.list(cursor, limit + 1);
    const items = rows.slice(0, limit).map(revocationJobBody);
    return { items, nextCursor: rows.length > limit ? items.at(-1)?.id ?? null : null };
  }

  @Get(':id') @Roles('security', 'admin', 'auditor')
  @Operation({
    tag: 'Revocations', summary: 'How far a revocation is',
    responses: { 200: { description: 'The revocation', content: { 'application/json': revocationJobSchema } } },
  })
  async one(@Param('id') id: string): Promise<JobBody> {
    return revocationJobBody(await this.#ledger.revocationJobs.read(id));
  }

  @Get(':id/targets') @Roles('security', 'admin', 'auditor')
  @Operation({
    tag: 'Revocations', summary: 'The certificates that it is about, and what became of each', query: targetsQuery,
    responses: { 200: { description: 'A page', content: { 'application/json': targetPage } } },
  })
  async targets(
    @Param('id') id: string, @Query(new ZodPipe(targetsQuery, 'http.query-invalid')) { from, limit, outcome }: z.output<typeof targetsQuery>,
  ): Promise<z.infer<typeof targetPage>> {
    const rows = await this.#ledger.revocationJobs.targets(id, from, limit, outcome);
    const last = rows.at(-1);
    return { items: rows.map(targetBody), nextFrom: last === undefined || rows.length < limit ? null : last.place + 1 };
  }

  @Post(':id/approvals') @Roles('admin') @HttpCode(200)
  @Operation({
    tag: 'Revocations', summary: 'Approves a large revocation of somebody else\'s',
    description: 'Bound to its targets; nobody approves their own. The same again changes nothing.',
    body: { 'application/json': approvalBody },
    responses: { 200: { description: 'The revocation', content: { 'application/json': revocationJobSchema } } },
  })
  async approve(
    @Caller() principal: HttpPrincipal, @Param('id') id: string, @Body(new ZodPipe(approvalBody)) { targetsSha256 }: z.output<typeof approvalBody>,
  ): Promise<JobBody> {
    const octets = Buffer.from(targetsSha256, 'hex');
    const job = await this.#ledger.revocationJobs.approve(id, { principalId: principal.id, targetsSha256: octets },
      revocationApproved(id, octets, actorOf(principal), this.#clock.now()));
    return revocationJobBody(job);
  }

  @Post(':id/cancel') @HttpCode(200)
  @Operation({
    tag: 'Revocations', summary: 'Revokes no more of it',
    description: 'What was revoked stays so. Of a revocation that is over nothing changes.',
    responses: { 200: { description: 'The revocation', content: { 'application/json': revocationJobSchema } } },
  })
  async cancel(@Caller() principal: HttpPrincipal, @Param('id') id: string): Promise<JobBody> {
    return revocationJobBody(await this.#ledger.revocationJobs.cancel(id, revocationCancelled(id, actorOf(principal), this.#clock.now())));
  }

  /** A small one is over when it is answered. Should this process die first, the worker goes on. */
  async #atOnce(job: RevocationJob): Promise<RevocationJob> {
    if (job.state !== 'running' || job.targets > AT_ONCE) return job;
    await this.#ledger.revocationJobs.runPage(job.id, this.#clock.now());
    this.#relay.kick();
    return this.#ledger.revocationJobs.read(job.id);
  }
}

const actorOf = ({ name }: HttpPrincipal): string => `principal:${name}`;
