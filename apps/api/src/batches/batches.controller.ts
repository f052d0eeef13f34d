import type { Readable } from 'node:stream';
import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import { Breath, type Clock, PkiError } from '@fleetroot/core';
import { Caller, type HttpPrincipal, Limits, type Pace, pacedBody, ZodPipe } from '@fleetroot/http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { caChoice, chosenCa } from '../ca-choice.ts';
import { idempotencyKey } from '../idempotency-key.ts';
import type { Ledger } from '../ledger.ts';
import { NDJSON, ndjsonStream } from '../ndjson.ts';
import { Operation } from '../openapi/operation.ts';
import { type Page, pageLimit } from '../page.ts';
import { ProfileCatalogue } from '../profile-catalogue.ts';
import { Roles } from '../roles.ts';
import { inScope, ownOnly } from '../scope.ts';
import { BODY_PACE, CLOCK, CLOSING, LEDGER } from '../tokens.ts';
import { batchBody, batchSchema, listedBatchBody, listedBatchSchema } from './batch-body.ts';
import { placeOf, textOfPlace } from './batch-cursor.ts';
import { BatchReception, type Received, type Submission } from './batch-reception.ts';
import { progressEvents } from './progress-events.ts';
import { resultLines } from './result-lines.ts';

/** A batch sent as one JSON text is held in memory; a longer one goes as NDJSON. */
const JSON_LIMIT = 16 * 1024 * 1024;

export const itemSchema = z.strictObject({
  ecuSerial: z.string().optional(),
  vin: z.string().optional(),
  partNumber: z.string().optional(),
  lot: z.string().optional().meta({ description: 'of the supplier, 1 to 64 printable ASCII characters; a recall may name it' }),
  csr: z.string().meta({ description: 'PKCS#10 request, PEM or base64 of the DER' }),
}).meta({ id: 'Item' });

export const resendChoice = z.uuid().toLowerCase().meta({ description: 'the batch of yours whose failed items these are, sent again' });

const choices = { profile: z.string().max(64).optional(), ca: caChoice.optional(), resendOf: resendChoice.optional() };
const submitQuery = z.strictObject(choices);
/** Its items are checked one by one, as the lines of NDJSON are. */
const submitBody = z.strictObject({ ...choices, items: z.array(z.unknown()) });

const resultsQuery = z.strictObject({
  from: z.coerce.number().int().min(0).max(2 ** 31 - 1).default(0).meta({ description: 'the first ordinal wanted: to go on after an interruption' }),
  outcome: z.enum(['issued', 'failed']).optional().meta({ description: 'those alone' }),
  format: z.enum(['der', 'pem']).default('der').meta({ description: 'the certificate as base64 of the DER, or as PEM' }),
});

const resultSchema = z.union([
  z.object({ ordinal: z.int(), ecuSerial: z.string().optional(), outcome: z.literal('issued'), serial: z.string(), certificate: z.string() }),
  z.object({ ordinal: z.int(), outcome: z.literal('failed'), code: z.string(), detail: z.string() }),
]).meta({ id: 'Result', description: 'one line' });

const listQuery = z.strictObject({
  state: z.enum(['receiving', 'accepted', 'done']).optional(),
  limit: pageLimit,
  cursor: z.string().max(60).optional().meta({ description: 'nextCursor of the page before' }),
});

const pageSchema = z.object({ items: z.array(listedBatchSchema), nextCursor: z.string().nullable() }).meta({ id: 'BatchPage' });

@Controller('v1/batches')
@Roles('line', 'admin')
export class BatchesController {
  readonly #ledger: Ledger;
  readonly #reception: BatchReception;
  readonly #breath: Breath;
  readonly #profiles: ProfileCatalogue;
  readonly #authorities: Authorities;
  readonly #closing: AbortSignal;
  readonly #pace: Pace;
  readonly #clock: Clock;

  constructor(
    @Inject(LEDGER) ledger: Ledger, @Inject(BatchReception) reception: BatchReception, @Inject(Breath) breath: Breath,
    @Inject(ProfileCatalogue) profiles: ProfileCatalogue, @Inject(Authorities) authorities: Authorities,
    @Inject(CLOSING) closing: AbortSignal, @Inject(BODY_PACE) pace: Pace, @Inject(CLOCK) clock: Clock,
  ) {
    this.#ledger = ledger;
    this.#reception = reception;
    this.#breath = breath;
    this.#profiles = profiles;
    this.#authorities = authorities;
    this.#closing = closing;
    this.#pace = pace;
    this.#clock = clock;
  }

  @Post()
  @Limits({ streaming: true, rawBody: true, bodyLimit: JSON_LIMIT })
  @Operation({
    tag: 'Batches', summary: 'Submits requests, to be issued in the background',
    description: 'All of the body is taken, or nothing. An item at fault becomes a failed result; a line that has not the form refuses the batch.',
    query: submitQuery,
    headers: { 'Idempotency-Key': { description: 'A new one for each batch. The same key with the same body finds the same batch.', required: true } },
    body: {
      [NDJSON]: itemSchema,
      'application/json': z.strictObject({ ...choices, items: z.array(itemSchema) }).meta({ id: 'NewBatch' }),
    },
    responses: {
      202: { description: 'Accepted', content: { 'application/json': batchSchema }, headers: { Location: 'The batch' } },
      200: { description: 'This Idempotency-Key had submitted it before', content: { 'application/json': batchSchema }, headers: { Location: 'The batch' } },
    },
  })
  async submit(
    @Caller() principal: HttpPrincipal, @Headers('idempotency-key') key: string | undefined,
    @Query(new ZodPipe(submitQuery, 'http.query-invalid')) query: z.output<typeof submitQuery>,
    @Body() body: unknown, @Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof batchSchema>> {
    const { batch, created } = await this.#receive(principal, key, query, body, request);
    void reply.code(created ? 202 : 200).header('location', `/v1/batches/${batch.id}`);
    return batchBody(await this.#ledger.batches.summary(batch.id));
  }

  async #receive(
    principal: HttpPrincipal, key: string | undefined, inQuery: z.output<typeof submitQuery>, body: unknown, request: FastifyRequest,
  ): Promise<Received> {
    const submission = async ({ profile, ca, resendOf }: z.output<typeof submitQuery>): Promise<Submission> => {
      const checkedKey = idempotencyKey(key);
      return {
        principal, idempotencyKey: checkedKey, profile: this.#profiles.forRequester(profileName(profile), principal.roles), ca, resendOf,
        caId: await chosenCa(this.#authorities, this.#ledger.batches, principal, ca, checkedKey),
      };
    };
    if (request.rawBody === undefined) {
      if (body === undefined) throw new PkiError('http.media-type', `send the batch as ${NDJSON} or application/json`);
      return this.#reception.receiveLines(await submission(inQuery), pacedBody(body as Readable, this.#pace));
    }
    const { items, profile = inQuery.profile, ca = inQuery.ca, resendOf = inQuery.resendOf } = new ZodPipe(submitBody).transform(body);
    return this.#reception.receiveItems(await submission({ profile, ca, resendOf }), items, request.rawBody);
  }

  @Get() @Roles('line', 'admin', 'auditor')
  @Operation({
    tag: 'Batches', summary: 'Lists batches, newest first',
    description: 'Lines see their own. Those of POST /v1/certificates, of one item each, are not listed.',
    query: listQuery,
    responses: { 200: { description: 'A page', content: { 'application/json': pageSchema } } },
  })
  async list(
    @Caller() principal: HttpPrincipal, @Query(new ZodPipe(listQuery, 'http.query-invalid')) { state, limit, cursor }: z.output<typeof listQuery>,
  ): Promise<Page<z.infer<typeof listedBatchSchema>>> {
    const filter = { state, principalId: ownOnly(principal) ? principal.id : undefined };
    const rows = await this.#ledger.batches.list(filter, placeOf(cursor), limit + 1);
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    return { items: shown.map(listedBatchBody), nextCursor: rows.length > limit && last !== undefined ? textOfPlace(last) : null };
  }

  @Post(':id/cancel') @HttpCode(200)
  @Operation({
    tag: 'Batches', summary: 'Cancels a batch',
    description: 'Items that are not in work fail with batch.cancelled; certificates that were issued stay. A batch that is still being sent is discarded. '
      + 'Of a batch that is done nothing changes.',
    responses: { 200: { description: 'The batch', content: { 'application/json': batchSchema } } },
  })
  async cancel(@Caller() principal: HttpPrincipal, @Param('id') id: string): Promise<z.infer<typeof batchSchema>> {
    await this.#batch(id, principal);
    const { batch } = await this.#ledger.batches.cancel(id, (refused) => ({
      action: 'batch.cancelled', actor: `principal:${principal.name}`, at: this.#clock.now(), subject: `batch:${id}`, data: { refused },
    }));
    // What was being received is gone; it is shown for the last time.
    if (batch.state === 'receiving') return batchBody({ ...batch, failures: {}, ratePerSecond: undefined, secondsLeft: undefined });
    return batchBody(await this.#ledger.batches.summary(id));
  }

  @Get(':id') @Roles('line', 'admin', 'auditor')
  @Operation({
    tag: 'Batches', summary: 'How far a batch is',
    responses: { 200: { description: 'The batch', content: { 'application/json': batchSchema } } },
  })
  async progress(@Caller() principal: HttpPrincipal, @Param('id') id: string): Promise<z.infer<typeof batchSchema>> {
    await this.#batch(id, principal);
    return batchBody(await this.#ledger.batches.summary(id));
  }

  @Get(':id/certificates') @Roles('line', 'admin', 'auditor')
  @Limits({ streaming: true })
  @Operation({
    tag: 'Batches', summary: 'The results, in the order of the requests, while the batch runs',
    query: resultsQuery,
    responses: { 200: { description: 'One result a line', content: { [NDJSON]: resultSchema } } },
  })
  async certificates(
    @Caller() principal: HttpPrincipal, @Param('id') id: string,
    @Query(new ZodPipe(resultsQuery, 'http.query-invalid')) query: z.output<typeof resultsQuery>, @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.#batch(id, principal);
    const stream = ndjsonStream((signal) => resultLines(this.#ledger.batches.results(id, query.from, signal, query.outcome), query.format), this.#closing, () => this.#breath.taken());
    void reply.type(NDJSON).send(stream);
    // The first result may be a while away: its reader should know by now that it will come.
    reply.raw.flushHeaders();
  }

  @Get(':id/events') @Roles('line', 'admin', 'auditor')
  @Limits({ streaming: true })
  @Operation({
    tag: 'Batches', summary: 'Progress as server-sent events',
    description: 'Events `progress`, and `done` at the end; their data is a Batch.',
    responses: { 200: { description: 'Events', content: { 'text/event-stream': 'text' } } },
  })
  async events(@Caller() principal: HttpPrincipal, @Param('id') id: string, @Res() reply: FastifyReply): Promise<void> {
    await this.#batch(id, principal);
    const stream = ndjsonStream((signal) => progressEvents(() => this.#ledger.batches.summary(id), signal), this.#closing);
    void reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no').send(stream);
    reply.raw.flushHeaders();
  }

  async #batch(id: string, principal: HttpPrincipal) {
    return inScope(await this.#ledger.batches.progress(id), principal);
  }
}

function profileName(name: string | undefined): string {
  if (name === undefined) throw new PkiError('http.query-invalid', 'name the profile: ?profile=ecu-client', { data: { field: 'profile' } });
  return name;
}
