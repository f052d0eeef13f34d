import type { TLSSocket } from 'node:tls';
import { Body, Controller, Get, HttpCode, Inject, Post, Req } from '@nestjs/common';
import type { Clock } from '@fleetroot/core';
import { EcuPace, FirstConnection } from '@fleetroot/fleet';
import { Public, ZodPipe } from '@fleetroot/http';
import { encodePem } from '@fleetroot/x509';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { serialOf } from '../certificates/serial-of.ts';
import { Operation } from '../openapi/operation.ts';
import { ProfileCatalogue } from '../profile-catalogue.ts';
import { CLOCK } from '../tokens.ts';
import { DeviceIssuance } from './device-issuance.ts';
import { OperationalCertificates } from './operational-certificate.ts';
import { peerChain } from './peer-chain.ts';

/** What an ECU gets after its first connection. */
const OPERATIONAL_PROFILE = 'ecu-client';

const csrField = z.string().meta({ description: 'PKCS#10 request of the operational key, PEM or base64 of the DER' });
const registrationBody = z.strictObject({ csr: csrField.optional() }).optional();
const renewalBody = z.strictObject({ csr: csrField });

const certificateFields = {
  serial: z.string(), certificate: z.string().meta({ description: 'PEM' }),
  chain: z.array(z.string()).meta({ description: 'PEM, from the issuing CA to the root' }),
};
const registrationSchema = z.object({
  outcome: z.enum(['registered', 'known']), ecuSerial: z.string(), partNumber: z.string(),
  ...z.object(certificateFields).partial().shape,
}).meta({ id: 'DeviceRegistration' });
const dueSchema = z.object({ due: z.boolean().meta({ description: 'ask for the next one now' }), notAfter: z.iso.datetime() }).meta({ id: 'DeviceRenewalState' });
const renewedSchema = z.object(certificateFields).meta({ id: 'DeviceCertificate' });

/** What ECUs call, each by a TLS handshake with its own certificate: that is their only credential. */
@Controller('v1/device')
@Public()
export class DeviceController {
  readonly #firstConnection: FirstConnection;
  readonly #operational: OperationalCertificates;
  readonly #issuance: DeviceIssuance;
  readonly #profiles: ProfileCatalogue;
  readonly #authorities: Authorities;
  readonly #pace: EcuPace;
  readonly #clock: Clock;

  constructor(
    @Inject(FirstConnection) firstConnection: FirstConnection, @Inject(OperationalCertificates) operational: OperationalCertificates,
    @Inject(DeviceIssuance) issuance: DeviceIssuance, @Inject(ProfileCatalogue) profiles: ProfileCatalogue,
    @Inject(Authorities) authorities: Authorities, @Inject(EcuPace) pace: EcuPace, @Inject(CLOCK) clock: Clock,
  ) {
    this.#firstConnection = firstConnection;
    this.#operational = operational;
    this.#issuance = issuance;
    this.#profiles = profiles;
    this.#authorities = authorities;
    this.#pace = pace;
    this.#clock = clock;
  }

  @Post('registration') @HttpCode(201)
  @Operation({
    tag: 'Devices', summary: 'First connection, by the factory certificate of a registered supplier',
    description: 'Mutual TLS. Registers the ECU once; with a csr, issues its operational certificate.',
    body: { 'application/json': z.strictObject({ csr: csrField.optional() }).meta({ id: 'NewDeviceRegistration' }) },
    responses: { 201: { description: 'Registered, now or before', content: { 'application/json': registrationSchema } } },
  })
  async register(
    @Req() request: FastifyRequest, @Body(new ZodPipe(registrationBody)) body: z.output<typeof registrationBody>,
  ): Promise<z.infer<typeof registrationSchema>> {
    const { identity, outcome } = await this.#firstConnection.admit(peerChain(request.raw.socket as TLSSocket));
    const { ecuSerial, partNumber } = identity;
    if (body?.csr === undefined) return { outcome, ecuSerial, partNumber };
    const profile = this.#profiles.forRequester(OPERATIONAL_PROFILE, ['system']);
    const { certificate } = await this.#issuance.issue({ ecuSerial, partNumber }, body.csr, profile, await this.#authorities.issuing(), 'line');
    return { outcome, ecuSerial, partNumber, ...(await this.#certificateBody(certificate)) };
  }

  @Get('renewal')
  @Operation({
    tag: 'Devices', summary: 'Whether the ECU should renew its certificate', description: 'Mutual TLS, with the operational certificate.',
    responses: { 200: { description: 'The state', content: { 'application/json': dueSchema } } },
  })
  async renewal(@Req() request: FastifyRequest): Promise<z.infer<typeof dueSchema>> {
    const record = await this.#operational.recognise(peerChain(request.raw.socket as TLSSocket));
    return { due: record.renewalDueAt !== undefined, notAfter: record.notAfter.toISOString() };
  }

  @Post('renewal') @HttpCode(201)
  @Operation({
    tag: 'Devices', summary: 'The next certificate', description: 'Mutual TLS, with the operational certificate. Same profile, same ECU.',
    body: { 'application/json': renewalBody.meta({ id: 'NewDeviceCertificate' }) },
    responses: { 201: { description: 'Issued', content: { 'application/json': renewedSchema } } },
  })
  async renew(
    @Req() request: FastifyRequest, @Body(new ZodPipe(renewalBody)) body: z.output<typeof renewalBody>,
  ): Promise<z.infer<typeof renewedSchema>> {
    const { ca, profile, ecuSerial, partNumber, vin } = await this.#operational.recognise(peerChain(request.raw.socket as TLSSocket));
    this.#pace.count(ecuSerial ?? '', this.#clock.now());
    const { certificate } = await this.#issuance.issue(
      {
        ecuSerial: ecuSerial ?? '', ...(partNumber === undefined ? {} : { partNumber }), ...(vin === undefined ? {} : { vin }),
      },
      // Whoever was allowed that profile in the first place decided for its renewals too.
      body.csr, this.#profiles.get(profile),
      // Of the same CA, or the generation that issues in its place by now.
      await this.#authorities.issuingFor(ca), 'renewal',
    );
    return this.#certificateBody(certificate);
  }

  async #certificateBody(certificate: Uint8Array): Promise<z.infer<typeof renewedSchema>> {
    return { serial: serialOf(certificate), certificate: encodePem('CERTIFICATE', certificate), chain: await this.#authorities.chainAbove(certificate) };
  }
}
