import { Body, Controller, Delete, HttpCode, Inject, Param, Post, Put } from '@nestjs/common';
import { type CertificationAuthority, type RevocationReason, revocationReasons, successionFault, takeStep } from '@fleetroot/authority';
import { type Clock, PkiError } from '@fleetroot/core';
import { Caller, type HttpPrincipal, ZodPipe } from '@fleetroot/http';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { instant } from '../instant.ts';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { OutboxRelay } from '../outbox-relay.ts';
import { Roles } from '../roles.ts';
import { CLOCK, LEDGER } from '../tokens.ts';
import { publisherOf, updateTruststores } from '../truststore-update.ts';
import { caBody, caSchema, reasonName } from './ca-body.ts';

type CaBody = z.infer<typeof caSchema>;

/** `compromised`, and `retired` before its time, come by revocation. */
const stateBody = z.strictObject({ state: z.enum(['active', 'retiring', 'retired']) }).meta({ id: 'NewCaState' });

const successionBody = z.strictObject({
  successor: z.string().max(64),
  switchAt: instant.meta({ description: 'now, or later' }),
}).meta({ id: 'NewSuccession' });

/** A CA is revoked for good: no hold. What a delta CRL says is for no caller to say, and attribute authorities are none of ours. */
const notForCas: readonly RevocationReason[] = ['certificateHold', 'removeFromCRL', 'aACompromise'];
const reasons = (Object.keys(revocationReasons) as RevocationReason[]).filter((name) => !notForCas.includes(name)) as [RevocationReason, ...RevocationReason[]];

const revocationBody = z.strictObject({
  reason: z.enum(reasons),
  invalidityDate: instant.optional().meta({ description: 'since when the key is known or suspected to be in wrong hands' }),
}).meta({ id: 'NewCaRevocation' });

const revocationSchema = z.object({
  ca: z.string(), state: z.string(), reason: z.enum(reasons), revokedAt: z.iso.datetime(),
  changed: z.boolean().meta({ description: 'false: it was revoked for that reason before' }),
  needCrl: z.array(z.string()).meta({ description: 'CAs that have signed it and whose keys are not here: have a ceremony sign the next CRL of each' }),
  truststores: z.int().meta({ description: 'truststores that have changed now' }),
}).meta({ id: 'CaRevocation' });

/** A CA's states, its next generation, its end. */
@Controller('v1/cas')
@Roles('admin')
export class CaLifeController {
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

  @Post(':name/state') @HttpCode(200)
  @Operation({
    tag: 'Authorities', summary: 'Takes a CA a step further',
    description: 'prepared: known, issues nothing. active: issues. retiring: signs its CRLs and OCSP signers only. retired: nothing.',
    body: { 'application/json': stateBody },
    responses: { 200: { description: 'The CA', content: { 'application/json': caSchema } } },
  })
  async state(
    @Caller() principal: HttpPrincipal, @Param('name') name: string, @Body(new ZodPipe(stateBody)) { state }: z.output<typeof stateBody>,
  ): Promise<CaBody> {
    const { name: known } = await this.#authorities.byName(name);
    const { before, after } = await takeStep(this.#ledger, known, state, { actor: `principal:${principal.name}`, clock: this.#clock });
    const all = await this.#authorities.all();
    if (after.state === 'retired' && before.state !== 'retired') await this.#updateTruststores(principal, all);
    return caBody(after, all);
  }

  @Put(':name/succession')
  @Operation({
    tag: 'Authorities', summary: 'Says which CA issues in the place of another, and from when on',
    description: 'The successor is prepared and has a key of its own. Truststores that hold the one hold the other from now on; at switchAt it becomes active and the other retiring.',
    body: { 'application/json': successionBody },
    responses: { 200: { description: 'The CA that is followed', content: { 'application/json': caSchema } } },
  })
  async succession(
    @Caller() principal: HttpPrincipal, @Param('name') name: string, @Body(new ZodPipe(successionBody)) body: z.output<typeof successionBody>,
  ): Promise<CaBody> {
    const ca = await this.#authorities.byName(name);
    const successor = await this.#authorities.byName(body.successor);
    const switchAt = new Date(body.switchAt);
    const now = this.#clock.now();
    const fault = successionFault(ca, successor, switchAt, await this.#authorities.all(), now);
    if (fault !== undefined) throw new PkiError('ca.state-refused', `${successor.name} cannot follow ${ca.name}: ${fault}`);
    const followed = await this.#ledger.authorities.succeed(ca.id, { successorId: successor.id, switchAt }, {
      action: 'ca.succession-changed', actor: `principal:${principal.name}`, at: now, subject: `ca:${ca.name}`,
      data: { successor: successor.name, switchAt: switchAt.toISOString() },
    });
    const all = await this.#authorities.all();
    await this.#updateTruststores(principal, all);
    return caBody(followed, all);
  }

  @Delete(':name/succession')
  @Operation({
    tag: 'Authorities', summary: 'Takes a succession back, before the switch',
    description: 'Truststores keep the generation that they have got.',
    responses: { 200: { description: 'The CA', content: { 'application/json': caSchema } } },
  })
  async noSuccession(@Caller() principal: HttpPrincipal, @Param('name') name: string): Promise<CaBody> {
    const ca = await this.#authorities.byName(name);
    const all = await this.#authorities.all();
    if (ca.successorId === undefined) return caBody(ca, all);
    if (ca.state !== 'active') throw new PkiError('ca.state-refused', `the CA ${ca.name} is ${ca.state}: its successor stays on record`);
    const free = await this.#ledger.authorities.succeed(ca.id, undefined, {
      action: 'ca.succession-changed', actor: `principal:${principal.name}`, at: this.#clock.now(), subject: `ca:${ca.name}`,
      data: { successor: null, switchAt: null },
    });
    return caBody(free, all);
  }

  @Post(':name/revocation') @Roles('security', 'admin') @HttpCode(200)
  @Operation({
    tag: 'Authorities', summary: 'Revokes a CA, for good, and with it everything below',
    description: 'OCSP says revoked of all that it and the CAs below it have signed, and the truststores lose them, at once. The same again changes nothing; a stronger reason replaces a weaker one and keeps the date.',
    body: { 'application/json': revocationBody },
    responses: { 200: { description: 'Revoked', content: { 'application/json': revocationSchema } } },
  })
  async revoke(
    @Caller() principal: HttpPrincipal, @Param('name') name: string, @Body(new ZodPipe(revocationBody)) { reason, invalidityDate }: z.output<typeof revocationBody>,
  ): Promise<z.infer<typeof revocationSchema>> {
    const ca = await this.#authorities.byName(name);
    const revokedAt = this.#clock.now();
    if (invalidityDate !== undefined && new Date(invalidityDate) > revokedAt) {
      throw new PkiError('http.body-invalid', 'invalidityDate: lies in the future', { data: { field: 'invalidityDate' } });
    }
    const { changed, offlineIssuers } = await this.#ledger.authorities.revoke(
      { caId: ca.id, reason: revocationReasons[reason], revokedAt, principalId: principal.id, ...(invalidityDate === undefined ? {} : { invalidityDate: new Date(invalidityDate) }) },
      { action: 'ca.revoked', actor: `principal:${principal.name}`, at: revokedAt, subject: `ca:${ca.name}`, data: { reason, invalidityDate: invalidityDate ?? null } },
    );
    this.#relay.kick();
    const all = await this.#authorities.all();
    const { state, revocation } = all.find(({ id }) => id === ca.id) ?? ca;
    return {
      ca: ca.name, state, changed, needCrl: [...offlineIssuers], truststores: await this.#updateTruststores(principal, all),
      reason: revocation === undefined ? reason : reasonName(revocation.reason), revokedAt: (revocation?.revokedAt ?? revokedAt).toISOString(),
    };
  }

  #updateTruststores(principal: HttpPrincipal, all: readonly CertificationAuthority[]): Promise<number> {
    return updateTruststores(this.#ledger.truststores, all, publisherOf(principal, this.#clock));
  }
}
