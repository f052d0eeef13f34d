import { Controller, Get, Inject } from '@nestjs/common';
import { encodePem } from '@fleetroot/x509';
import { z } from 'zod';
import { Authorities } from '../authorities.ts';
import { Operation } from '../openapi/operation.ts';
import { ProfileCatalogue } from '../profile-catalogue.ts';
import { Roles } from '../roles.ts';

const caSchema = z.object({
  name: z.string(),
  parent: z.string().nullable().meta({ description: 'null: a root' }),
  state: z.enum(['prepared', 'active', 'retiring', 'retired', 'compromised']),
  notBefore: z.iso.datetime(),
  notAfter: z.iso.datetime(),
  certificate: z.string().meta({ description: 'PEM' }),
}).meta({ id: 'Ca' });

const profileSchema = z.looseObject({
  name: z.string(), requestedBy: z.array(z.string()), requires: z.array(z.string()),
  version: z.int().meta({ description: 'on record; a changed file makes a new one' }),
}).meta({ id: 'Profile' });

@Controller('v1')
@Roles('admin', 'security', 'auditor', 'line', 'gateway')
export class AuthoritiesController {
  readonly #authorities: Authorities;
  readonly #profiles: ProfileCatalogue;

  constructor(@Inject(Authorities) authorities: Authorities, @Inject(ProfileCatalogue) profiles: ProfileCatalogue) {
    this.#authorities = authorities;
    this.#profiles = profiles;
  }

  @Get('cas')
  @Operation({
    tag: 'Authorities', summary: 'The certification authorities',
    responses: { 200: { description: 'Roots first', content: { 'application/json': z.object({ items: z.array(caSchema) }) } } },
  })
  async cas(): Promise<{ items: z.infer<typeof caSchema>[] }> {
    const all = await this.#authorities.all();
    const names = new Map(all.map((ca) => [ca.id, ca.name]));
    return {
      items: all.map((ca) => ({
        name: ca.name, parent: ca.parentId === undefined ? null : names.get(ca.parentId) ?? null, state: ca.state,
        notBefore: ca.notBefore.toISOString(), notAfter: ca.notAfter.toISOString(), certificate: encodePem('CERTIFICATE', ca.certificate),
      })),
    };
  }

  @Get('profiles')
  @Operation({
    tag: 'Authorities', summary: 'The certificate profiles',
    responses: { 200: { description: 'All of them', content: { 'application/json': z.object({ items: z.array(profileSchema) }) } } },
  })
  profiles(): { items: z.infer<typeof profileSchema>[] } {
    return { items: this.#profiles.all().map(({ profile, versionId }) => ({ ...profile, requestedBy: [...profile.requestedBy], requires: [...profile.requires], version: versionId })) };
  }
}
