import { BlockList, isIP } from 'node:net';
import { PkiError } from '@fleetroot/core';

/** How a proxy says who its client is. */
const proxyForms = ['escaped-pem', 'xfcc', 'xfcc-last', 'client-cert'] as const;

export type ProxyForm = (typeof proxyForms)[number];

/** What a proxy may do. */
export interface ProxyGrant {
  readonly form: ProxyForm;
  /** It must send a gateway's token. */
  readonly token: boolean;
}

const VARIABLE = 'FLEETROOT_AUTHORIZE_PROXIES';
const ENTRY = /^([a-z-]+)=([0-9A-Fa-f.:]+)(?:\/(\d{1,3}))?(\+token)?$/;

/** The proxies whose headers are believed, by the address that their connections come from. */
export class Proxies {
  readonly #entries: readonly (ProxyGrant & { readonly addresses: BlockList })[];

  private constructor(entries: readonly (ProxyGrant & { readonly addresses: BlockList })[]) {
    this.#entries = entries;
  }

  /**
   * Of `FORM=ADDRESS[/BITS][+token]`, separated by spaces or commas.
   * @throws PkiError `config.invalid`
   */
  static parse(text: string | undefined): Proxies {
    return new Proxies((text ?? '').split(/[\s,]+/).filter((entry) => entry !== '').map(entryOf));
  }

  /** The first entry for the address counts; none: nothing is believed. */
  grant(address: string | undefined): ProxyGrant | undefined {
    const family = address === undefined ? 0 : isIP(address);
    if (address === undefined || family === 0) return undefined;
    return this.#entries.find(({ addresses }) => addresses.check(address, family === 6 ? 'ipv6' : 'ipv4'));
  }
}

function entryOf(entry: string): ProxyGrant & { readonly addresses: BlockList } {
  const [, form, address = '', bits, token] = ENTRY.exec(entry) ?? [];
  const known = proxyForms.find((one) => one === form);
  const family = isIP(address);
  const longest = family === 6 ? 128 : 32;
  const prefix = bits === undefined ? longest : Number(bits);
  if (known === undefined || family === 0 || prefix > longest) {
    throw new PkiError('config.invalid', `${VARIABLE}: ${JSON.stringify(entry)} is not FORM=ADDRESS[/BITS][+token] with a FORM of ${proxyForms.join(', ')}`);
  }
  // Everybody's word is nobody's: with a token too, whoever has it could be anywhere.
  if (prefix === 0) throw new PkiError('config.invalid', `${VARIABLE}: ${JSON.stringify(entry)} would believe everybody: name the proxies`);
  const addresses = new BlockList();
  addresses.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4');
  return { form: known, token: token !== undefined, addresses };
}
