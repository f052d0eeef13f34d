import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { PkiError } from '@fleetroot/core';
import { Limits, ZodPipe } from '@fleetroot/http';
import { z } from 'zod';
import { Operation } from '../openapi/operation.ts';
import { Roles } from '../roles.ts';
import { authorizationBody, authorizationSchema } from './answer.ts';
import { GatewayChecks } from './gateway-checks.ts';
import { LONGEST_TEXT, readCertificate } from './certificate-text.ts';

const certificateField = z.string().min(1).max(LONGEST_TEXT).meta({ description: 'PEM of one certificate, or base64 of its DER' });

const askedBody = z.strictObject({
  certificate: certificateField,
  chain: z.array(certificateField).max(10).optional().meta({ description: 'as the client sent it; not needed, and nothing is taken from it: the CAs are on record' }),
  truststore: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/).optional().meta({ description: 'name of one that must hold the CA that issued the certificate' }),
}).meta({ id: 'ClientToAuthorize' });

@Controller('v1/authorize')
export class AuthorizeController {
  readonly #checks: GatewayChecks;

  constructor(@Inject(GatewayChecks) checks: GatewayChecks) {
    this.#checks = checks;
  }

  @Post() @HttpCode(200) @Roles('gateway', 'admin') @Limits({ frequent: true, quiet: true })
  @Operation({
    tag: 'Gateways', summary: 'Whether a client with this certificate is to be let in',
    description: 'The gateway has proven by the TLS handshake that the client holds the key. Anything but 200 with `allowed: true` means no.',
    body: { 'application/json': askedBody },
    responses: { 200: { description: 'The decision', content: { 'application/json': authorizationSchema } } },
  })
  async authorize(@Body(new ZodPipe(askedBody)) { certificate, chain = [], truststore }: z.output<typeof askedBody>): Promise<z.infer<typeof authorizationSchema>> {
    const unreadable = chain.findIndex((one) => readCertificate(one) === undefined);
    if (unreadable !== -1) throw new PkiError('certificate.malformed', 'neither PEM of one certificate nor base64', { data: { field: `chain.${unreadable}` } });
    const authorization = await this.#checks.ofBody(certificate, truststore);
    const { reason, detail } = authorization;
    if (reason === 'certificate.malformed') throw new PkiError('certificate.malformed', detail, { data: { field: 'certificate' } });
    if (reason === 'truststore.not-found') throw new PkiError('truststore.not-found', detail, { data: { field: 'truststore' } });
    return authorizationBody(authorization);
  }
}
