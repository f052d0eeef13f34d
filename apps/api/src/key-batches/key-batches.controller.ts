import type { BatchProgress } from '@fleetroot/authority';
import { type Clock, PkiError } from '@fleetroot/core';
import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Query, Res } from '@nestjs/common';
import { Caller, type HttpPrincipal, Limits, ZodPipe } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { chosenCa } from '../ca-choice.ts';
import { acceptable } from '../certificates/accept.ts';
import { idempotencyKey } from '../idempotency-key.ts';
import type { Ledger } from '../ledger.ts';
import { NDJSON, ndjsonStream } from '../ndjson.ts';
import { Operation } from '../openapi/operation.ts';
import { type KnownProfile, ProfileCatalogue } from '../profile-catalogue.ts';
import { Roles } from '../roles.ts';
import { CLOCK, CLOSING, LEDGER } from '../tokens.ts';
import { keyBatchBody, keyBatchRequest, type KeyBatchRequest, keyBatchSchema, keyPassword, MAX_KEYS, MAX_RSA_KEYS } from './key-batch-body.ts';
import { KeyDelivery } from './key-delivery.ts';
import { KeyMaking } from './key-making.ts';

/** The items of the largest batch, with room to spare. */
const BODY_LIMIT = 512 * 1024;
const CMS = 'application/pkcs7-mime';
const CMS_TOO = 'application/cms';
const PKCS12 = 'application/x-pkcs12';

const deliveryBody = z.strictObject({ password: keyPassword.optional() });
const streamQuery = z.strictObject({
  from: z.coerce.number().int().min(0).max(MAX_KEYS).default(0).meta({ description: 'the first ordinal wanted: to go on after an interruption' }),
});
const acknowledgementBody = z.strictObject({ ordinals: z.array(z.int().min(0).max(MAX_KEYS)).min(1).max(MAX_KEYS) });
const acknowledgementSchema = z.object({ deleted: z.int().meta({ description: 'keys that were deleted now' }) }).meta({ id: 'Acknowledged' });
const lineSchema = z.union([
  z.object({
    ordinal: z.int(), ecuSerial: z.string(), serial: z.string(), certificate: z.string(), outcome: z.literal('delivered'),
    key: z.string().meta({ description: 'base64 of the EnvelopedData' }),
  }),
  z.object({ ordinal: z.int(), ecuSerial: z.string(), serial: z.string(), certificate: z.string(), outcome: z.literal('gone'), code: z.string(), detail: z.string() }),
  z.object({ ordinal: z.int(), outcome: z.literal('failed'), code: z.string(), detail: z.string() }),
]).meta({ id: 'KeyDelivery', description: 'one line' });

/** Keys that are made here. Whatever the role: a batch is its maker's alone. */
@Controller('v1/key-batches')
@Roles('line', 'admin')
export class KeyBatchesController {
  readonly #ledger: Ledger;
  readonly #making: KeyMaking;
  readonly #delivery: KeyDelivery;
  readonly #profiles: ProfileCatalogue;
  readonly #authorities: Authorities;
  readonly #clock: Clock;
  readonly #closing: AbortSignal;

  constructor(
    @Inject(LEDGER) ledger: Ledger, @Inject(KeyMaking) making: KeyMaking, @Inject(KeyDelivery) delivery: KeyDelivery,
    @Inject(ProfileCatalogue) profiles: ProfileCatalogue, @Inject(Authorities) authorities: Authorities,
    @Inject(CLOCK) clock: Clock, @Inject(CLOSING) closing: AbortSignal,
  ) {
    this.#ledger = ledger;
    this.#making = making;
    this.#delivery = delivery;
    this.#profiles = profiles;
    this.#authorities = authorities;
    this.#clock = clock;
    this.#closing = closing;
  }

  @Post() @Limits({ bodyLimit: BODY_LIMIT, streaming: true })
  @Operation({
    tag: 'Keys made here', summary: 'Makes keys for ECUs without a good random source, and submits their requests',
    description: 'For profiles with `serverKeys: allowed`. A private key is encrypted at once: to a certificate (CMS EnvelopedData), or with a password (PKCS#12). '
      + 'It is deleted when its delivery is acknowledged, or its time has run out.',
    headers: { 'Idempotency-Key': { description: 'one for each batch', required: true } },
    body: { 'application/json': keyBatchRequest },
    responses: {
      202: { description: 'Accepted: durable, and about to be issued', content: { 'application/json': keyBatchSchema } },
      200: { description: 'The batch that this Idempotency-Key opened before', content: { 'application/json': keyBatchSchema } },
    },
  })
  async submit(
    @Caller() principal: HttpPrincipal, @Headers('idempotency-key') key: string | undefined,
    @Body(new ZodPipe(keyBatchRequest)) request: KeyBatchRequest, @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof keyBatchSchema>> {
    checkSize(request);
    const checkedKey = idempotencyKey(key);
    const profile = this.#profiles.forRequester(request.profile, principal.roles);
    checkProfile(profile, request);
    const caId = await chosenCa(this.#authorities, this.#ledger.batches, principal, request.ca, checkedKey);
    const { batch, created } = await this.#making.make({ principal, idempotencyKey: checkedKey, profile, caId, request });
    void reply.code(created ? 202 : 200).header('location', `/v1/key-batches/${batch.id}`);
    return keyBatchBody(batch, await this.#ledger.madeKeys.counts(batch.id));
  }

  @Get(':id')
  @Operation({
    tag: 'Keys made here', summary: 'How far a batch is, and its keys',
    responses: { 200: { description: 'The batch', content: { 'application/json': keyBatchSchema } } },
  })
  async progress(@Caller() principal: HttpPrincipal, @Param('id') id: string): Promise<z.infer<typeof keyBatchSchema>> {
    const batch = await this.#own(id, principal);
    return keyBatchBody(batch, await this.#ledger.madeKeys.counts(batch.id));
  }

  @Get(':id/keys') @Limits({ streaming: true })
  @Operation({
    tag: 'Keys made here', summary: 'Every key of a batch for a certificate, with its certificate, while the batch runs',
    query: streamQuery,
    responses: { 200: { description: 'One item a line', content: { [NDJSON]: lineSchema } } },
  })
  async keys(
    @Caller() principal: HttpPrincipal, @Param('id') id: string,
    @Query(new ZodPipe(streamQuery, 'http.query-invalid')) { from }: z.output<typeof streamQuery>, @Res() reply: FastifyReply,
  ): Promise<void> {
    const batch = await this.#own(id, principal);
    const counts = await this.#ledger.madeKeys.counts(batch.id);
    if (counts?.kind === 'pkcs12') throw new PkiError('key.password-incorrect', 'the keys of this batch are under a password: fetch each by POST /v1/key-batches/ID/keys/ORDINAL');
    const stream = ndjsonStream((signal) => this.#delivery.lines(batch.id, from, principal, signal), this.#closing);
    void reply.type(NDJSON).header('cache-control', 'no-store').send(stream);
    // The first key may be a while away: its receiver should know by now that it will come.
    reply.raw.flushHeaders();
  }

  @Post(':id/keys/:ordinal') @HttpCode(200)
  @Operation({
    tag: 'Keys made here', summary: 'One key; may be asked for again until it is acknowledged',
    description: 'Waits for the certificate. An EnvelopedData holds the key alone; a PFX the certificate and its chain, too.',
    body: { 'application/json': deliveryBody },
    responses: { 200: { description: 'The key', content: { [CMS]: 'octets', [CMS_TOO]: 'octets', [PKCS12]: 'octets' } } },
  })
  async deliver(
    @Caller() principal: HttpPrincipal, @Param('id') id: string, @Param('ordinal') place: string, @Headers('accept') accept: string | undefined,
    @Body() body: unknown, @Res() reply: FastifyReply,
  ): Promise<void> {
    const { password } = new ZodPipe(deliveryBody).transform(body ?? {});
    const batch = await this.#own(id, principal);
    const ordinal = ordinalOf(place);
    const { kind } = await this.#ledger.madeKeys.held(batch.id, ordinal);
    const type = kind === 'cms' ? acceptable(accept, [CMS, CMS_TOO]) : acceptable(accept, [PKCS12]);
    const { content } = await this.#delivery.one(batch.id, ordinal, password, principal);
    void reply.type(type === CMS ? `${CMS}; smime-type=enveloped-data` : type).header('cache-control', 'no-store').send(Buffer.from(content));
  }

  @Post(':id/acknowledgements') @HttpCode(200)
  @Operation({
    tag: 'Keys made here', summary: 'Says that keys have arrived: they are deleted',
    description: 'All of them or none. Those that were deleted before are left as they are.',
    body: { 'application/json': acknowledgementBody },
    responses: { 200: { description: 'Deleted', content: { 'application/json': acknowledgementSchema } } },
  })
  async acknowledge(
    @Caller() principal: HttpPrincipal, @Param('id') id: string,
    @Body(new ZodPipe(acknowledgementBody)) { ordinals }: z.output<typeof acknowledgementBody>,
  ): Promise<z.infer<typeof acknowledgementSchema>> {
    const batch = await this.#own(id, principal);
    const at = this.#clock.now();
    const deleted = await this.#ledger.madeKeys.acknowledge(batch.id, ordinals, (ordinal) => ({
      action: 'key.deleted', actor: `principal:${principal.name}`, at, subject: `key:${batch.id}/${ordinal}`, data: { why: 'acknowledged' },
    }));
    return { deleted };
  }

  /** @throws PkiError `batch.not-found`, also for an admin: a key is for who asked for it (I32) */
  async #own(id: string, principal: HttpPrincipal): Promise<BatchProgress> {
    const batch = await this.#ledger.batches.progress(id);
    if (batch.principalId !== principal.id) throw new PkiError('batch.not-found');
    return batch;
  }
}

function checkSize({ items, keyType }: KeyBatchRequest): void {
  const limit = keyType === 'rsa-3072' ? MAX_RSA_KEYS : MAX_KEYS;
  if (items.length > limit) throw new PkiError('batch.too-many-items', `a batch of ${keyType} keys has at most ${limit} items: send the rest as another batch`, { data: { limit } });
}

/** @throws PkiError `profile.keys-not-made`, `request.key-refused` */
function checkProfile({ profile }: KnownProfile, { keyType }: KeyBatchRequest): void {
  if (profile.serverKeys !== 'allowed') {
    throw new PkiError('profile.keys-not-made', `the profile ${profile.name} does not say "serverKeys: allowed": its ECUs make their own keys`);
  }
  const type = keyType === 'rsa-3072' ? 'rsa' : keyType;
  if (!profile.keys.types.includes(type)) {
    throw new PkiError('request.key-refused', `the profile ${profile.name} takes ${profile.keys.types.join(', ')} keys, not ${keyType}`, { data: { keyType } });
  }
}

function ordinalOf(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new PkiError('key.not-found', 'the place of an item is a number from 0');
  return Number(text);
}
