import { Controller, Get, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Operation } from '../openapi/operation.ts';
import { ProfileCatalogue } from '../profile-catalogue.ts';
import { Roles } from '../roles.ts';

const profileSchema = z.looseObject({
  name: z.string(), requestedBy: z.array(z.string()), requires: z.array(z.string()),
  version: z.int().meta({ description: 'on record; a changed file makes a new one' }),
}).meta({ id: 'Profile' });

@Controller('v1')
@Roles('admin', 'security', 'auditor', 'line', 'gateway')
export class ProfilesController {
  readonly #profiles: ProfileCatalogue;

  constructor(@Inject(ProfileCatalogue) profiles: ProfileCatalogue) {
    this.#profiles = profiles;
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
