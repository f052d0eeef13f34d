/** Serials that were told of one by one and are remembered as such; beyond, all counts as told of. */
const REMEMBERED = 20_000;

/**
 * What was told of, in order: whoever read a status before it was told of a change of it must read it again. Time is
 * counted in what was told.
 */
export class Told {
  #count = 0;
  #everything = 0;
  readonly #cas = new Map<number, number>();
  #serials = new Map<string, number>();

  /** Now: to be taken before a status is read. */
  get now(): number {
    return this.#count;
  }

  /** @param serial content octets in hex; undefined: all of the CA */
  tell(caId: number, serial: string | undefined): void {
    this.#count++;
    if (serial === undefined) this.#cas.set(caId, this.#count);
    else this.#serials.set(toldName(caId, serial), this.#count);
    if (this.#serials.size > REMEMBERED) {
      this.#everything = this.#count;
      this.#serials = new Map();
    }
  }

  /** Whether the serial of this name was told of after `moment`, which was taken from `now`. */
  since(moment: number, caId: number, name: string): boolean {
    return this.#everything > moment || (this.#cas.get(caId) ?? 0) > moment || (this.#serials.get(name) ?? 0) > moment;
  }
}

export const toldName = (caId: number, serial: string): string => `${caId}/${serial}`;
