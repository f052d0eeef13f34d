import { Body, Controller, HttpCode, Inject, Param, Post, Put, Res } from '@nestjs/common';
import { type CertificationAuthority, importAuthority, importCertificate, importCrl } from '@fleetroot/authority';
import { caName, type Clock, PkiError } from '@fleetroot/core';
import { Caller, type HttpPrincipal, Limits, ZodPipe } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { OutboxRelay } from '../outbox-relay.ts';
import { Roles } from '../roles.ts';
import { CLOCK, LEDGER } from '../tokens.ts';
import { publisherOf, updateTruststores } from '../truststore-update.ts';
import { caBody, caSchema } from './ca-body.ts';
import { labels } from './labels.ts';
import { oneObject, onePem } from './one-object.ts';

export const CRL_TYPE = 'application/pkix-crl';
/** Of a CRL of some 400,000 entries. */
const CRL_LIMIT = 16 * 1024 * 1024;

const algorithms = [
  'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512', 'ed25519', 'rsa-sha256', 'rsa-sha384', 'rsa-sha512', 'rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512',
] as const;

const pem = z.string().max(64 * 1024).meta({ description: 'PEM' });

const newCa = z.strictObject({
  name: z.string().max(64),
  certificate: pem,
  keyId: z.string().regex(/^(?:[0-9a-fA-F]{2}){1,64}$/).optional().meta({ description: 'CKA_ID of its key in the CA token, hexadecimal; absent: its key is elsewhere' }),
  labels: labels.optional(),
  succeeds: z.string().max(64).optional().meta({ description: 'the CA whose next generation it is' }),
  signatureAlgorithm: z.enum(algorithms).optional().meta({ description: 'what it signs with; absent: the default of its key' }),
}).meta({ id: 'NewCa' });

const newCertificate = z.strictObject({ certificate: pem }).meta({ id: 'NewCaCertificate' });
const addedSchema = z.object({
  ca: z.string(), kind: z.enum(['ca', 'cross', 'ocsp-signer']), issuer: z.string(),
  changed: z.boolean().meta({ description: 'false: it was on record' }),
}).meta({ id: 'CaCertificate' });

const importedCrlSchema = z.object({
  ca: z.string(), number: z.string(), thisUpdate: z.iso.datetime(), nextUpdate: z.iso.datetime(),
  revoked: z.array(z.string()).meta({ description: 'the CAs that it has revoked' }), changed: z.boolean(),
}).meta({ id: 'ImportedCrl' });

/** What ceremonies, or others, signed comes on record here. */
@Controller('v1/cas')
@Roles('admin')
export class CaImportsController {
  readonly #ledger: Ledger;
  readonly #authorities: Authorities;
  readonly #clock: Clock;
  readonly #relay: OutboxRelay;

  constructor(
    @Inject(LEDGER) ledger: Ledger, @Inject(Authorities) authorities: Authorities, @Inject(CLOCK) clock: Clock,
    @Inject(OutboxRelay) relay: OutboxRelay,
  ) {
    this.#ledger = ledger;
    this.#authorities = authorities;
    this.#clock = clock;
    this.#relay = relay;
  }

  @Post() @HttpCode(201)
  @Operation({
    tag: 'Authorities', summary: 'Puts a CA on record: a root, or one below a CA on record',
    description: 'Its chain is checked: rights of a CA, signature, path length, name constraints, validity, key. '
      + 'With a key here, or as the next generation of another, it is prepared: known to gateways, issuing nothing until it is made active. Without, it is active: trusted.',
    body: { 'application/json': newCa },
    responses: {
      201: { description: 'On record', content: { 'application/json': caSchema }, headers: { Location: 'The CA' } },
      200: { description: 'It was on record', content: { 'application/json': caSchema }, headers: { Location: 'The CA' } },
    },
  })
  async add(
    @Caller() principal: HttpPrincipal, @Body(new ZodPipe(newCa)) body: z.output<typeof newCa>, @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof caSchema>> {
    const { keyId, succeeds } = body;
    const { authority, changed } = await importAuthority(this.#ledger.authorities, {
      certificate: onePem(body.certificate, 'CERTIFICATE', 'ca.certificate-refused'), name: caName(body.name),
      keyId: keyId === undefined ? undefined : new Uint8Array(Buffer.from(keyId, 'hex')), labels: body.labels,
      succeeds: succeeds === undefined ? undefined : caName(succeeds), signatureAlgorithm: body.signatureAlgorithm,
      state: keyId === undefined ? 'active' : 'prepared',
    }, this.#by(principal));
    void reply.code(changed ? 201 : 200).header('location', `/v1/cas/${authority.name}`);
    const all = await this.#authorities.all();
    if (changed) await this.#updateTruststores(principal, all);
    return caBody(authority, all);
  }

  @Post(':name/certificates') @HttpCode(201)
  @Operation({
    tag: 'Authorities', summary: 'Puts one more certificate of a CA on record',
    description: 'Of its key by its own issuer (renewed) or by another CA on record (cross-certificate), or of an OCSP signer that it signed elsewhere.',
    body: { 'application/json': newCertificate },
    responses: {
      201: { description: 'On record', content: { 'application/json': addedSchema } },
      200: { description: 'It was on record', content: { 'application/json': addedSchema } },
    },
  })
  async certificate(
    @Caller() principal: HttpPrincipal, @Param('name') name: string, @Body(new ZodPipe(newCertificate)) body: z.output<typeof newCertificate>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof addedSchema>> {
    const ca = await this.#authorities.byName(name);
    const der = onePem(body.certificate, 'CERTIFICATE', 'ca.certificate-refused');
    const { kind, issuer, changed } = await importCertificate(this.#ledger.authorities, ca, der, this.#by(principal));
    if (changed && kind === 'ca') await this.#updateTruststores(principal, await this.#authorities.all());
    void reply.code(changed ? 201 : 200);
    return { ca: ca.name, kind, issuer: issuer.name, changed };
  }

  @Put(':name/crl')
  @Limits({ bodyLimit: CRL_LIMIT })
  @Operation({
    tag: 'Authorities', summary: 'Publishes a CRL that a CA signed whose key is elsewhere',
    description: 'DER or PEM. It must be newer than the one published, current, and list all that is revoked on record. A CA below that it lists is revoked.',
    body: { [CRL_TYPE]: 'octets' },
    responses: { 200: { description: 'Published', content: { 'application/json': importedCrlSchema } } },
  })
  async crl(@Caller() principal: HttpPrincipal, @Param('name') name: string, @Body() body: unknown): Promise<z.infer<typeof importedCrlSchema>> {
    if (!Buffer.isBuffer(body)) throw new PkiError('http.media-type', `send the CRL, DER or PEM, as ${CRL_TYPE}`);
    const ca = await this.#authorities.byName(name);
    const by = this.#by(principal);
    const { crl, changed, revoked } = await importCrl(this.#ledger, ca, oneObject(body, 'X509 CRL', 'crl.import-refused'), { ...by, principalId: principal.id });
    if (revoked.length > 0) {
      this.#relay.kick();
      await this.#updateTruststores(principal, await this.#authorities.all());
    }
    return {
      ca: ca.name, number: String(crl.number), thisUpdate: crl.thisUpdate.toISOString(), nextUpdate: crl.nextUpdate.toISOString(),
      revoked: [...revoked], changed,
    };
  }

  #updateTruststores(principal: HttpPrincipal, all: readonly CertificationAuthority[]): Promise<number> {
    return updateTruststores(this.#ledger.truststores, all, publisherOf(principal, this.#clock));
  }

  #by(principal: HttpPrincipal): { actor: string; clock: Clock; crls: Ledger['crls'] } {
    return { actor: `principal:${principal.name}`, clock: this.#clock, crls: this.#ledger.crls };
  }
}
