import { Controller, Get, Headers, Inject, Param, Query, Res } from '@nestjs/common';
import type { Clock } from '@fleetroot/core';
import { ZodPipe } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { acceptable } from '../certificates/accept.ts';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { Roles } from '../roles.ts';
import { CLOCK, LEDGER } from '../tokens.ts';
import { caBody, caDetailBody, caDetailSchema, caSchema, caStates } from './ca-body.ts';
import { isLabel, visibleLine } from './labels.ts';

const PEM = 'application/x-pem-file';
const LABEL = 'label.';

const listQuery = z.object({
  state: z.enum(caStates).optional().meta({ description: 'only those in this state' }),
}).catchall(visibleLine).superRefine((query, context) => {
  for (const key of Object.keys(query)) {
    const label = key.startsWith(LABEL) && isLabel(key.slice(LABEL.length));
    if (key !== 'state' && !label) context.addIssue({ code: 'custom', message: 'state, and label.NAME, can be asked for' });
  }
});

const listSchema = z.object({ items: z.array(caSchema) });
const chainSchema = z.object({ items: z.array(z.string()).meta({ description: 'PEM' }) });

@Controller('v1/cas')
@Roles('admin', 'security', 'auditor', 'line', 'gateway')
export class CasController {
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
    tag: 'Authorities', summary: 'The certification authorities',
    description: 'By state, and by labels: `?label.brand=north`.',
    query: listQuery,
    responses: { 200: { description: 'Each below the one that signed it', content: { 'application/json': listSchema } } },
  })
  async cas(@Query(new ZodPipe(listQuery, 'http.query-invalid')) query: z.output<typeof listQuery>): Promise<z.infer<typeof listSchema>> {
    const all = await this.#authorities.all();
    const { state, ...labels } = query;
    const wanted = all.filter((ca) => (state === undefined || ca.state === state)
      && Object.entries(labels).every(([key, value]) => ca.labels[key.slice(LABEL.length)] === value));
    return { items: wanted.map((ca) => caBody(ca, all)) };
  }

  @Get(':name')
  @Operation({
    tag: 'Authorities', summary: 'One CA, with all its certificates and what it does now',
    responses: { 200: { description: 'The CA', content: { 'application/json': caDetailSchema } } },
  })
  async one(@Param('name') name: string): Promise<z.infer<typeof caDetailSchema>> {
    const ca = await this.#authorities.byName(name);
    const [all, certificates, crl] = await Promise.all([this.#authorities.all(), this.#ledger.authorities.certificates(ca.id), this.#ledger.crls.latest(ca.id)]);
    return caDetailBody(ca, { all, certificates, crl, now: this.#clock.now() });
  }

  @Get(':name/chain')
  @Operation({
    tag: 'Authorities', summary: 'Its certificate and those of the CAs above it, the root last',
    responses: { 200: { description: 'The chain', content: { [PEM]: 'text', 'application/json': chainSchema } } },
  })
  async chain(@Param('name') name: string, @Headers('accept') accept: string | undefined, @Res() reply: FastifyReply): Promise<void> {
    const type = acceptable(accept, [PEM, 'application/json']);
    const items = await this.#authorities.chain(await this.#authorities.byName(name));
    void reply.header('vary', 'Accept').type(type).send(type === PEM ? items.join('') : { items });
  }
}
