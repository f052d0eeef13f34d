import { Body, Controller, Get, HttpCode, Inject, Post, Res } from '@nestjs/common';
import { isPrincipalName, newToken, type Principal, type Role, roles, tokenSha256 } from '@fleetroot/access';
import { type Clock, PkiError, systemRandom } from '@fleetroot/core';
import { Caller, type HttpPrincipal, ZodPipe } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { instant } from '../instant.ts';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { Roles } from '../roles.ts';
import { CLOCK, LEDGER } from '../tokens.ts';

/** `system` is the product itself: nobody gets a token for it. */
const grantable = roles.filter((role) => role !== 'system') as [Role, ...Role[]];

const newPrincipal = z.strictObject({
  name: z.string().refine(isPrincipalName, { error: '1 to 64 lower-case letters, digits, inner ".", "_" and "-"' }),
  roles: z.array(z.enum(grantable)).min(1).max(grantable.length),
  expiresAt: instant.optional(),
  authorities: z.array(z.string().max(64)).max(1000).optional().meta({
    description: 'names of the CAs, in any generation, that it may have certificates issued by; empty: the installation\'s issuing CA alone; absent: as it is',
  }),
}).meta({ id: 'NewPrincipal' });

const principalSchema = z.object({
  name: z.string(), roles: z.array(z.enum(roles)), authorities: z.array(z.string()), createdAt: z.iso.datetime(), expiresAt: z.iso.datetime().nullable(),
  disabledAt: z.iso.datetime().nullable(),
}).meta({ id: 'Principal' });

const createdSchema = principalSchema.extend({ token: z.string().meta({ description: 'told this once' }) }).meta({ id: 'CreatedPrincipal' });

@Controller('v1/principals')
@Roles('admin')
export class PrincipalsController {
  readonly #ledger: Ledger;
  readonly #clock: Clock;

  constructor(@Inject(LEDGER) ledger: Ledger, @Inject(CLOCK) clock: Clock) {
    this.#ledger = ledger;
    this.#clock = clock;
  }

  @Get() @Roles('admin', 'auditor')
  @Operation({
    tag: 'Principals', summary: 'Who may use the API',
    responses: { 200: { description: 'All of them', content: { 'application/json': z.object({ items: z.array(principalSchema) }) } } },
  })
  async all(): Promise<{ items: z.infer<typeof principalSchema>[] }> {
    return { items: (await this.#ledger.principals.all()).map(principalBody) };
  }

  @Post() @HttpCode(201)
  @Operation({
    tag: 'Principals', summary: 'Makes a principal, or gives one a new token and roles',
    description: 'The token is told in this answer and never again; an older one of the same principal ends.',
    body: { 'application/json': newPrincipal },
    responses: { 201: { description: 'Made', content: { 'application/json': createdSchema } } },
  })
  async put(
    @Caller() caller: HttpPrincipal, @Body(new ZodPipe(newPrincipal)) body: z.output<typeof newPrincipal>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.infer<typeof createdSchema>> {
    const at = this.#clock.now();
    const expiresAt = body.expiresAt === undefined ? undefined : new Date(body.expiresAt);
    if (expiresAt !== undefined && expiresAt <= at) throw new PkiError('http.body-invalid', 'expiresAt: lies in the past', { data: { field: 'expiresAt' } });
    const known = (await this.#ledger.principals.all()).find(({ name }) => name === body.name);
    if (known?.roles.includes('system') === true) throw new PkiError('http.body-invalid', 'name: belongs to the product itself', { data: { field: 'name' } });
    const authorities = body.authorities === undefined ? undefined : await this.#onRecord(body.authorities);
    const token = newToken(systemRandom);
    const hash = tokenSha256(token);
    if (hash === undefined) throw new PkiError('internal', 'a new token is not of the form of tokens');
    const granted = [...new Set(body.roles)];
    const principal = await this.#ledger.principals.put(body.name, granted, hash, expiresAt, {
      action: 'principal.created', actor: `principal:${caller.name}`, at, subject: `principal:${body.name}`,
      data: { roles: granted, expiresAt: expiresAt?.toISOString() ?? null, authorities: authorities ?? known?.authorities ?? [] },
    }, authorities);
    void reply.header('cache-control', 'no-store');
    return { ...principalBody(principal), token };
  }

  /** @throws PkiError `http.body-invalid` where one is of no CA: a misspelt name would grant nothing, and a CA that came later all */
  async #onRecord(names: readonly string[]): Promise<string[]> {
    const known = new Set<string>((await this.#ledger.authorities.all()).map(({ name }) => name));
    const wanted = [...new Set(names)];
    if (wanted.every((name) => known.has(name))) return wanted;
    throw new PkiError('http.body-invalid', 'authorities: name CAs on record (GET /v1/cas)', { data: { field: 'authorities' } });
  }
}

function principalBody(principal: Principal): z.infer<typeof principalSchema> {
  return {
    name: principal.name, roles: [...principal.roles], authorities: [...principal.authorities], createdAt: principal.createdAt.toISOString(),
    expiresAt: principal.expiresAt?.toISOString() ?? null, disabledAt: principal.disabledAt?.toISOString() ?? null,
  };
}
