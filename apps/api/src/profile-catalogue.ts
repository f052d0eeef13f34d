import { type Profile, profileDocument, type ProfileLedger } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';

export interface KnownProfile {
  readonly profile: Profile;
  /** The version on record that new batches are bound to. */
  readonly versionId: number;
}

/** The profiles of this process's folder, as the ledger has them on record. */
export class ProfileCatalogue {
  readonly #known: ReadonlyMap<string, KnownProfile>;

  private constructor(known: ReadonlyMap<string, KnownProfile>) {
    this.#known = known;
  }

  /** Records each profile that is new. */
  static async record(profiles: ReadonlyMap<string, Profile>, ledger: ProfileLedger): Promise<ProfileCatalogue> {
    const known = new Map<string, KnownProfile>();
    for (const [name, profile] of profiles) {
      const { id } = await ledger.ensure(name, profileDocument(profile));
      known.set(name, { profile, versionId: id });
    }
    return new ProfileCatalogue(known);
  }

  all(): readonly KnownProfile[] {
    return [...this.#known.values()];
  }

  /** @throws PkiError `profile.not-found` */
  get(name: string): KnownProfile {
    const known = this.#known.get(name);
    if (known === undefined) throw new PkiError('profile.not-found', 'no profile of this name: GET /v1/profiles lists them');
    return known;
  }

  /** @throws PkiError `profile.not-found`, `profile.forbidden` */
  forRequester(name: string, roles: readonly string[]): KnownProfile {
    const known = this.get(name);
    const { requestedBy } = known.profile;
    if (!requestedBy.some((role) => roles.includes(role))) {
      throw new PkiError('profile.forbidden', `the profile ${name} is for the roles ${requestedBy.join(', ')}`);
    }
    return known;
  }
}
