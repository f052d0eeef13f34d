import type { Readable } from 'node:stream';
import { Body, Controller, Delete, Get, Headers, HttpCode, Inject, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { BATCH_PRIORITY, type Upload, UPLOAD_LIFE_MS } from '@fleetroot/authority';
import { type Clock, crashPoint, PkiError, toHex } from '@fleetroot/core';
import { Caller, type HttpPrincipal, Limits, type Pace, pacedBody, ZodPipe } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { batchBody, batchSchema } from '../batches/batch-body.ts';
import { itemSchema, resendChoice } from '../batches/batches.controller.ts';
import { caChoice, chosenCa, NONE } from '../ca-choice.ts';
import { idempotencyKey } from '../idempotency-key.ts';
import type { Ledger } from '../ledger.ts';
import { NDJSON } from '../ndjson.ts';
import { Operation } from '../openapi/operation.ts';
import { OutboxRelay } from '../outbox-relay.ts';
import { ProfileCatalogue } from '../profile-catalogue.ts';
import { Roles } from '../roles.ts';
import { inScope } from '../scope.ts';
import { BODY_PACE, CLOCK, LEDGER } from '../tokens.ts';
import { UploadReception } from './upload-reception.ts';

const openBody = z.strictObject({
  profile: z.string().max(64), ca: caChoice.optional(), resendOf: resendChoice.optional(),
}).meta({ id: 'NewUpload' });

const partQuery = z.strictObject({
  from: z.coerce.number().int().min(0).max(2 ** 31 - 1).meta({ description: 'place of the first item of this part: what `received` says' }),
});

const digest = z.string().regex(/^[0-9a-f]{64}$/).meta({
  description: 'hex of d(n) over the n lines: d(0) is 32 zero octets, d(i + 1) = SHA-256(d(i) || SHA-256(line i without its line end))',
});

const acceptBody = z.strictObject({ items: z.int().min(0).max(2 ** 31 - 1), digest }).meta({ id: 'UploadEnd' });

const uploadSchema = z.object({
  id: z.uuid().meta({ description: 'also the id of the batch that it becomes' }),
  received: z.int().nonnegative().meta({ description: 'items that are durable: send the rest from here' }),
  digest,
  state: z.enum(['receiving', 'accepted', 'done']),
  expiresAt: z.iso.datetime().nullable().meta({ description: 'when it is discarded unless it is gone on with; null once it is accepted' }),
}).meta({ id: 'Upload' });

@Controller('v1/uploads')
@Roles('line', 'admin')
export class UploadsController {
  readonly #ledger: Ledger;
  readonly #reception: UploadReception;
  readonly #profiles: ProfileCatalogue;
  readonly #authorities: Authorities;
  readonly #relay: OutboxRelay;
  readonly #pace: Pace;
  readonly #clock: Clock;

  constructor(
    @Inject(LEDGER) ledger: Ledger, @Inject(UploadReception) reception: UploadReception, @Inject(ProfileCatalogue) profiles: ProfileCatalogue,
    @Inject(Authorities) authorities: Authorities, @Inject(OutboxRelay) relay: OutboxRelay,
    @Inject(BODY_PACE) pace: Pace, @Inject(CLOCK) clock: Clock,
  ) {
    this.#ledger = ledger;
    this.#reception = reception;
    this.#profiles = profiles;
    this.#authorities = authorities;
    this.#relay = relay;
    this.#pace = pace;
    this.#clock = clock;
  }

  @Post()
  @Operation({
    tag: 'Uploads', summary: 'Opens a batch that is sent in parts, or finds it again',
    headers: { 'Idempotency-Key': { description: 'A new one for each batch. The same key finds the same upload, as it stands.', required: true } },
    body: { 'application/json': openBody },
    responses: {
      201: { description: 'Opened', content: { 'application/json': uploadSchema }, headers: { Location: 'The upload' } },
      200: { description: 'This Idempotency-Key had opened it before', content: { 'application/json': uploadSchema }, headers: { Location: 'The upload' } },
    },
  })
  async open(
    @Caller() principal: HttpPrincipal, @Headers('idempotency-key') header: string | undefined,
    @Body(new ZodPipe(openBody)) body: z.output<typeof openBody>, @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof uploadSchema>> {
    const key = idempotencyKey(header);
    const { profile, versionId } = this.#profiles.forRequester(body.profile, principal.roles);
    const caId = await chosenCa(this.#authorities, this.#ledger.batches, principal, body.ca, key);
    const { upload, created } = await this.#ledger.uploads.open({
      principalId: principal.id, idempotencyKey: key, caId, profileVersionId: versionId, priority: BATCH_PRIORITY, purpose: 'line', resendOf: body.resendOf,
    });
    const same = created || (upload.profile === profile.name && upload.resendOf === body.resendOf && await this.#sameCa(upload.caId, caId));
    if (!same) throw new PkiError('idempotency.conflict', 'this Idempotency-Key opened an upload of another profile, CA or batch to send again: use a new one');
    void reply.code(created ? 201 : 200).header('location', `/v1/uploads/${upload.id}`);
    return uploadBody(upload);
  }

  @Get(':id') @Roles('line', 'admin', 'auditor')
  @Operation({
    tag: 'Uploads', summary: 'How far an upload is',
    responses: { 200: { description: 'The upload', content: { 'application/json': uploadSchema } } },
  })
  async one(@Caller() principal: HttpPrincipal, @Param('id') id: string): Promise<z.infer<typeof uploadSchema>> {
    return uploadBody(inScope(await this.#ledger.uploads.read(id), principal));
  }

  @Patch(':id')
  @Limits({ streaming: true })
  @Operation({
    tag: 'Uploads', summary: 'Sends the next part',
    description: 'Where it breaks off, the items that `received` tells of stay, and the rest is sent again from there. '
      + 'An item at fault becomes a failed result; a line that has not the form ends the part before the chunk it is in.',
    query: partQuery, body: { [NDJSON]: itemSchema },
    responses: { 200: { description: 'All of the part is durable', content: { 'application/json': uploadSchema } } },
  })
  async part(
    @Caller() principal: HttpPrincipal, @Param('id') id: string,
    @Query(new ZodPipe(partQuery, 'http.query-invalid')) { from }: z.output<typeof partQuery>, @Body() body: unknown,
  ): Promise<z.infer<typeof uploadSchema>> {
    const upload = await this.#own(id, principal);
    this.#reception.requirePlace(upload, from);
    if (!isStream(body)) throw new PkiError('http.media-type', `send a part as ${NDJSON}`);
    await this.#reception.receive(upload, this.#profiles.get(upload.profile).profile, pacedBody(body, this.#pace));
    return uploadBody(await this.#ledger.uploads.read(id));
  }

  @Post(':id/accept')
  @Operation({
    tag: 'Uploads', summary: 'Says that it is whole: from here on it is a batch, and is issued',
    body: { 'application/json': acceptBody },
    responses: {
      202: { description: 'Accepted', content: { 'application/json': batchSchema }, headers: { Location: 'The batch' } },
      200: { description: 'It was accepted before, with these items', content: { 'application/json': batchSchema }, headers: { Location: 'The batch' } },
    },
  })
  async accept(
    @Caller() principal: HttpPrincipal, @Param('id') id: string,
    @Body(new ZodPipe(acceptBody)) { items, digest: hex }: z.output<typeof acceptBody>, @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof batchSchema>> {
    const { profile, caId, resendOf } = await this.#own(id, principal);
    const { created } = await this.#ledger.uploads.accept(id, { received: items, digest: Buffer.from(hex, 'hex') }, {
      action: 'batch.accepted', actor: `principal:${principal.name}`, at: this.#clock.now(), subject: `batch:${id}`,
      data: { profile, items, ca: caId, resendOf: resendOf ?? null },
    });
    crashPoint('batch.accepted');
    this.#relay.kick();
    void reply.code(created ? 202 : 200).header('location', `/v1/batches/${id}`);
    return batchBody(await this.#ledger.batches.summary(id));
  }

  @Delete(':id') @HttpCode(204)
  @Operation({
    tag: 'Uploads', summary: 'Discards an upload that was not accepted',
    responses: { 204: { description: 'It is gone, and its Idempotency-Key is free' } },
  })
  async discard(@Caller() principal: HttpPrincipal, @Param('id') id: string): Promise<void> {
    inScope(await this.#ledger.uploads.read(id), principal);
    await this.#ledger.uploads.discard(id);
  }

  /** Whoever may see another's upload may still not go on with it. @throws PkiError `batch.not-found` */
  async #own(id: string, principal: HttpPrincipal): Promise<Upload> {
    const upload = await this.#ledger.uploads.read(id);
    if (upload.principalId !== principal.id) throw new PkiError('batch.not-found');
    return upload;
  }

  /** Whether both ask for the same CA, whichever generation of it issued then and issues now. */
  async #sameCa(opened: number, asked: number): Promise<boolean> {
    return asked === NONE || opened === asked || (await this.#authorities.isSameLine(opened, asked));
  }
}

const isStream = (body: unknown): body is Readable => typeof body === 'object' && body !== null && Symbol.asyncIterator in body;

function uploadBody({ id, received, digest: octets, state, receivedAt }: Upload): z.infer<typeof uploadSchema> {
  return {
    id, received, digest: toHex(octets), state,
    expiresAt: state === 'receiving' ? new Date(receivedAt.getTime() + UPLOAD_LIFE_MS).toISOString() : null,
  };
}
