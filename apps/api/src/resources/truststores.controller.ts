import { Body, Controller, Get, Headers, Inject, Param, Put, Res } from '@nestjs/common';
import { isTrusted, LEFT_OUT_FIELD, leftOutOf, trustedOf, withTrust } from '@fleetroot/authority';
import { type Clock, PkiError, toHex } from '@fleetroot/core';
import { Caller, type HttpPrincipal, ZodPipe } from '@fleetroot/http';
import { crlBundle, entityTag, matchesEntityTag, publishTruststore, type TruststoreVersion } from '@fleetroot/trust';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { visibleLine } from '../cas/labels.ts';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { Roles } from '../roles.ts';
import { CLOCK, LEDGER } from '../tokens.ts';
import { publisherOf } from '../truststore-update.ts';

const PEM = 'application/x-pem-file';
/** As the status app names them in URLs. */
const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;

const truststoreSchema = z.object({
  name: z.string(), version: z.int().positive(), cas: z.array(z.string()).meta({ description: 'names' }),
  sha256: z.string().meta({ description: 'of the PEM' }), createdAt: z.iso.datetime(),
}).meta({ id: 'Truststore' });

const contentBody = z.strictObject({
  description: visibleLine,
  cas: z.array(z.string().max(64)).min(1).max(1000).meta({ description: 'names' }),
}).meta({ id: 'NewTruststore' });

@Controller('v1/truststores')
@Roles('gateway', 'admin', 'security', 'auditor')
export class TruststoresController {
  readonly #ledger: Ledger;
  readonly #authorities: Authorities;
  readonly #clock: Clock;

  constructor(@Inject(LEDGER) ledger: Ledger, @Inject(Authorities) authorities: Authorities, @Inject(CLOCK) clock: Clock) {
    this.#ledger = ledger;
    this.#authorities = authorities;
    this.#clock = clock;
  }

  @Get()
  @Operation({
    tag: 'Truststores', summary: 'The truststores, each as it is now',
    responses: { 200: { description: 'All of them', content: { 'application/json': z.object({ items: z.array(truststoreSchema) }) } } },
  })
  async all(): Promise<{ items: z.infer<typeof truststoreSchema>[] }> {
    const { truststores } = this.#ledger;
    const names = new Map((await this.#authorities.all()).map((ca) => [ca.id, ca.name as string]));
    const versions = await Promise.all((await truststores.names()).map((name) => truststores.current(name)));
    return { items: versions.map((version) => truststoreBody(version, names)) };
  }

  @Get(':name')
  @Operation({
    tag: 'Truststores', summary: 'CA certificates, roots first',
    headers: { 'If-None-Match': { description: 'the ETag of an earlier answer: 304 where nothing has changed', required: false } },
    responses: {
      200: { description: 'PEM', content: { [PEM]: 'text' }, headers: { ETag: 'Changes exactly when the octets do' } },
      304: { description: 'Not modified' },
    },
  })
  async certificates(@Param('name') name: string, @Headers('if-none-match') known: string | undefined, @Res() reply: FastifyReply): Promise<void> {
    sendTagged(reply, (await this.#current(name)).pem, known);
  }

  @Put(':name') @Roles('admin')
  @Operation({
    tag: 'Truststores', summary: 'Makes a truststore, or says anew which CAs are in it',
    description: 'The generations after a CA come in with it. A CA that is revoked or retired later leaves by itself.',
    body: { 'application/json': contentBody },
    responses: { 200: { description: 'The truststore; a new version where its content has changed', content: { 'application/json': truststoreSchema } } },
  })
  async compose(
    @Caller() principal: HttpPrincipal, @Param('name') name: string, @Body(new ZodPipe(contentBody)) { description, cas }: z.output<typeof contentBody>,
  ): Promise<z.infer<typeof truststoreSchema>> {
    if (!NAME.test(name)) throw new PkiError('http.body-invalid', 'a truststore is called by 1 to 64 lower-case letters, digits and "-"');
    const all = await this.#authorities.all();
    const members = cas.map((wanted) => {
      const ca = all.find((one) => one.name === wanted);
      if (ca === undefined) throw new PkiError('ca.not-found', `no CA is called ${JSON.stringify(wanted)}`, { data: { field: 'cas' } });
      if (!isTrusted(ca, all)) throw new PkiError('ca.state-refused', `the CA ${ca.name}, or one above it, is revoked or retired: nobody is to trust it`);
      return ca;
    });
    const { version } = await publishTruststore(
      this.#ledger.truststores, { name, description, memberIds: members.map(({ id }) => id) }, withTrust(all),
      publisherOf(principal, this.#clock),
    );
    return truststoreBody(version, new Map(all.map((ca) => [ca.id, ca.name])));
  }

  @Get(':name/crls')
  @Operation({
    tag: 'Truststores', summary: 'A valid CRL of every CA in it that is to be trusted',
    description: 'One that is revoked or retired has none here: gateways then refuse what it has issued. 503 truststore.incomplete where a CA has none now: a gateway that lacked it would let nobody in.',
    headers: { 'If-None-Match': { description: 'the ETag of an earlier answer: 304 where nothing has changed', required: false } },
    responses: {
      200: {
        description: 'PEM', content: { [PEM]: 'text' },
        headers: { ETag: 'Changes exactly when the octets do', 'X-Fleetroot-Left-Out': 'names of the CAs in it that are revoked or retired; absent where none is' },
      },
      304: { description: 'Not modified' },
    },
  })
  async crls(@Param('name') name: string, @Headers('if-none-match') known: string | undefined, @Res() reply: FastifyReply): Promise<void> {
    const [truststore, all] = [await this.#current(name), await this.#authorities.all()];
    const cas = trustedOf(truststore, all);
    const leftOut = leftOutOf(truststore, all);
    if (leftOut.length > 0) void reply.header(LEFT_OUT_FIELD, leftOut.join(', '));
    const crls = await Promise.all(cas.map(({ id }) => this.#ledger.crls.latest(id)));
    const ders = crls.flatMap((crl) => (crl === undefined ? [] : [crl.der]));
    sendTagged(reply, crlBundle(cas, ders, this.#clock.now()), known);
  }

  #current(name: string): Promise<TruststoreVersion> {
    if (!NAME.test(name)) throw new PkiError('truststore.not-found');
    return this.#ledger.truststores.current(name);
  }
}

function sendTagged(reply: FastifyReply, pem: string, known: string | undefined): void {
  const tag = entityTag(pem);
  void reply.header('etag', tag).header('cache-control', 'no-cache');
  if (matchesEntityTag(known, tag)) void reply.code(304).send();
  else void reply.type(PEM).send(pem);
}

function truststoreBody({ truststore, version, caIds, sha256, createdAt }: TruststoreVersion, names: ReadonlyMap<number, string>): z.infer<typeof truststoreSchema> {
  return { name: truststore, version, cas: caIds.map((id) => names.get(id) ?? String(id)), sha256: toHex(sha256), createdAt: createdAt.toISOString() };
}
