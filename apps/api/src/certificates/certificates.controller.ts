import { createHash } from 'node:crypto';
import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import { type CertificateQuery, type CertificateRecord } from '@fleetroot/authority';
import { caName, type CaName, type Clock, PkiError, type Serial, serialFromHex, toHex } from '@fleetroot/core';
import { Caller, type HttpPrincipal, Limits, ZodPipe } from '@fleetroot/http';
import { encodePem, readRequest } from '@fleetroot/x509';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { checkedItem, type SentItem } from '../batches/item.ts';
import { caChoice, chosenCa } from '../ca-choice.ts';
import { idempotencyKey } from '../idempotency-key.ts';
import { instant } from '../instant.ts';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { OutboxRelay } from '../outbox-relay.ts';
import { cursorId, type Page, pageOf, pageQuery } from '../page.ts';
import { ProfileCatalogue } from '../profile-catalogue.ts';
import { reasonChoice } from '../revocations/revocation-body.ts';
import { Roles } from '../roles.ts';
import { ownOnly } from '../scope.ts';
import { CLOCK, LEDGER } from '../tokens.ts';
import { acceptable } from './accept.ts';
import { certificateBody, certificateSchema } from './certificate-body.ts';
import { IssuanceOnRequest } from './issuance-on-request.ts';
import { serialOf } from './serial-of.ts';

const PEM = 'application/x-pem-file';
const DER = 'application/pkix-cert';

const issueBody = z.strictObject({
  profile: z.string().max(64),
  ca: caChoice.optional(),
  ecuSerial: z.string().max(200).optional(),
  vin: z.string().max(200).optional(),
  partNumber: z.string().max(200).optional(),
  lot: z.string().max(200).optional(),
  csr: z.string().meta({ description: 'PKCS#10 request, PEM or base64 of the DER' }),
}).meta({ id: 'NewCertificate' });

const issuedSchema = z.object({
  serial: z.string(),
  certificate: z.string().meta({ description: 'PEM' }),
  chain: z.array(z.string()).meta({ description: 'PEM, from the issuing CA to the root' }),
  batch: z.uuid(),
}).meta({ id: 'IssuedCertificate' });

/** What no ECU serial and no part number can hold, NUL above all, PostgreSQL shall not be asked for. */
const plate = z.string().max(64).regex(/^[\x20-\x7e]*$/);

const searchQuery = z.strictObject({
  serial: z.string().max(80).optional(),
  vin: z.string().max(40).optional(),
  ecuSerial: plate.optional(),
  partNumber: plate.optional(),
  status: z.enum(['valid', 'revoked', 'expired']).optional(),
  expiresBefore: instant.optional(),
  expiresAfter: instant.optional(),
  ...pageQuery,
});

const caQuery = z.strictObject({ ca: z.string().max(64).optional().meta({ description: 'name of the CA, where several used the serial number' }) });

const revocationBody = z.strictObject({
  reason: reasonChoice.meta({ description: 'removeFromCRL takes a certificateHold back' }),
  invalidityDate: instant.optional().meta({ description: 'since when the key is known or suspected to be in wrong hands' }),
}).meta({ id: 'NewRevocation' });

const revocationSchema = z.object({
  serial: z.string(), ca: z.string(), reason: reasonChoice, revokedAt: z.iso.datetime(),
  changed: z.boolean().meta({ description: 'false: it was revoked for that reason before' }),
}).meta({ id: 'Revocation' });

const pageSchema = z.object({ items: z.array(certificateSchema), nextCursor: z.string().nullable() }).meta({ id: 'CertificatePage' });

@Controller('v1/certificates')
@Roles('admin', 'security', 'auditor', 'line', 'gateway')
export class CertificatesController {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #issuance: IssuanceOnRequest;
  readonly #authorities: Authorities;
  readonly #profiles: ProfileCatalogue;
  readonly #relay: OutboxRelay;

  constructor(
    @Inject(LEDGER) ledger: Ledger, @Inject(CLOCK) clock: Clock, @Inject(IssuanceOnRequest) issuance: IssuanceOnRequest,
    @Inject(Authorities) authorities: Authorities, @Inject(ProfileCatalogue) profiles: ProfileCatalogue,
    @Inject(OutboxRelay) relay: OutboxRelay,
  ) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#issuance = issuance;
    this.#authorities = authorities;
    this.#profiles = profiles;
    this.#relay = relay;
  }

  @Post() @Roles('line', 'gateway', 'admin') @HttpCode(201)
  @Limits({ rawBody: true, bodyLimit: 256 * 1024 })
  @Operation({
    tag: 'Certificates', summary: 'Issues one certificate, and waits for it',
    description: '504 issuance.timeout names the batch where the certificate may still come to be.',
    headers: { 'Idempotency-Key': { description: 'The same key with the same body gets the same certificate.', required: false } },
    body: { 'application/json': issueBody },
    responses: { 201: { description: 'Issued', content: { 'application/json': issuedSchema }, headers: { Location: 'The certificate' } } },
  })
  async issue(
    @Caller() principal: HttpPrincipal, @Headers('idempotency-key') key: string | undefined,
    @Body(new ZodPipe(issueBody)) body: z.output<typeof issueBody>, @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof issuedSchema>> {
    const { profile: name, ca, ...sent } = body;
    const profile = this.#profiles.forRequester(name, principal.roles);
    const checkedKey = key === undefined ? undefined : idempotencyKey(key);
    const caId = await chosenCa(this.#authorities, this.#ledger.batches, principal, ca, checkedKey);
    const item = checkedItem(sent as SentItem, 0, profile.profile);
    const { batchId, certificate } = await this.#issuance.issue({
      principalId: principal.id, actor: `principal:${principal.name}`, profile, caId, purpose: 'line', item, request: readRequest(item.csr),
      idempotencyKey: checkedKey,
      bodySha256: createHash('sha256').update(request.rawBody ?? '').digest(),
    });
    const serial = serialOf(certificate);
    void reply.header('location', `/v1/certificates/${serial}`);
    return { serial, certificate: encodePem('CERTIFICATE', certificate), chain: await this.#authorities.chainAbove(certificate), batch: batchId };
  }

  @Get()
  @Operation({
    tag: 'Certificates', summary: 'Searches certificates, newest first',
    description: 'Lines and gateways find what they asked for themselves.',
    query: searchQuery,
    responses: { 200: { description: 'A page', content: { 'application/json': pageSchema } } },
  })
  async search(
    @Caller() principal: HttpPrincipal, @Query(new ZodPipe(searchQuery, 'http.query-invalid')) query: z.output<typeof searchQuery>,
  ): Promise<Page<z.infer<typeof certificateSchema>>> {
    const { limit, cursor, serial, expiresBefore, expiresAfter, ...rest } = query;
    const now = this.#clock.now();
    const filter = withoutUndefined({
      ...rest,
      serial: serial === undefined ? undefined : serialFromHex(serial),
      expiresBefore: expiresBefore === undefined ? undefined : new Date(expiresBefore),
      expiresAfter: expiresAfter === undefined ? undefined : new Date(expiresAfter),
      requestedBy: ownOnly(principal) ? principal.id : undefined,
    });
    const rows = await this.#ledger.certificates.search(filter, now, cursorId(cursor), limit + 1);
    return pageOf(rows, limit, (record) => certificateBody(record, now));
  }

  @Get(':serial')
  @Operation({
    tag: 'Certificates', summary: 'One certificate',
    query: caQuery,
    responses: { 200: { description: 'The certificate', content: { 'application/json': certificateSchema, [PEM]: 'text', [DER]: 'octets' } } },
  })
  async one(
    @Caller() principal: HttpPrincipal, @Param('serial') serial: string, @Headers('accept') accept: string | undefined,
    @Query(new ZodPipe(caQuery, 'http.query-invalid')) query: z.output<typeof caQuery>, @Res() reply: FastifyReply,
  ): Promise<void> {
    const type = acceptable(accept, ['application/json', PEM, DER]);
    const record = await this.#find(principal, serialFromHex(serial), query.ca === undefined ? undefined : caName(query.ca));
    void reply.header('vary', 'Accept');
    switch (type) {
      case 'application/json': return void reply.type('application/json').send(certificateBody(record, this.#clock.now()));
      case PEM: return void reply.type(PEM).send(encodePem('CERTIFICATE', record.certificate));
      case DER: return void reply.type(DER).send(Buffer.from(record.certificate));
    }
  }

  @Post(':serial/revocation') @Roles('security', 'admin') @HttpCode(200)
  @Operation({
    tag: 'Certificates', summary: 'Revokes a certificate',
    description: 'The same again changes nothing; a stronger reason replaces a weaker one and keeps the date. certificateHold is taken back by removeFromCRL, and by nothing else.',
    query: caQuery, body: { 'application/json': revocationBody },
    responses: { 200: { description: 'Revoked', content: { 'application/json': revocationSchema } } },
  })
  async revoke(
    @Caller() principal: HttpPrincipal, @Param('serial') serial: string,
    @Query(new ZodPipe(caQuery, 'http.query-invalid')) query: z.output<typeof caQuery>,
    @Body(new ZodPipe(revocationBody)) body: z.output<typeof revocationBody>,
  ): Promise<z.infer<typeof revocationSchema>> {
    const record = await this.#find(principal, serialFromHex(serial), query.ca === undefined ? undefined : caName(query.ca));
    const revokedAt = this.#clock.now();
    const { invalidityDate } = body;
    if (invalidityDate !== undefined && new Date(invalidityDate) > revokedAt) {
      throw new PkiError('http.body-invalid', 'invalidityDate: lies in the future', { data: { field: 'invalidityDate' } });
    }
    const { ca } = record;
    const revoked = await this.#ledger.revocations.revoke(
      { serial: record.serial, ca, reason: body.reason, revokedAt, principalId: principal.id, ...(invalidityDate === undefined ? {} : { invalidityDate: new Date(invalidityDate) }) },
      {
        action: 'certificate.revoked', actor: `principal:${principal.name}`, at: revokedAt, subject: `certificate:${ca}/${record.serial}`,
        data: { reason: body.reason, sha256: toHex(createHash('sha256').update(record.certificate).digest()) },
      },
    );
    this.#relay.kick();
    return { serial: record.serial, ca, reason: revoked.reason, revokedAt: revoked.revokedAt.toISOString(), changed: revoked.changed };
  }

  async #find(principal: HttpPrincipal, serial: Serial, ca: CaName | undefined): Promise<CertificateRecord> {
    const { certificates } = this.#ledger;
    if (!ownOnly(principal)) return certificates.find(serial, ca);
    const own = (await certificates.search({ serial, requestedBy: principal.id }, this.#clock.now(), undefined, 10))
      .filter((record) => ca === undefined || record.ca === ca);
    if (own.length > 1) throw new PkiError('certificate.ambiguous', 'say which CA: ?ca=NAME');
    if (own[0] === undefined) throw new PkiError('certificate.not-found');
    return own[0];
  }
}

/** An absent filter is no filter; `exactOptionalPropertyTypes` tells it from one that is undefined. */
function withoutUndefined(filter: { [K in keyof CertificateQuery]: CertificateQuery[K] | undefined }): CertificateQuery {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}
