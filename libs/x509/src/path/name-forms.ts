import { isWithin } from './name-match.ts';

/** Number of the choice in GeneralName (RFC 5280 section 4.2.1.6): 1 email, 2 dns, 4 directory, 6 uri, 7 ip. */
export type NameForm = number;

/** Content octets of a name or of a constraint's base; a directory name as comparable RDNs. */
export type Subtree = Uint8Array | readonly string[];

export interface ConstrainedName {
  readonly form: NameForm;
  readonly value: Subtree;
}

interface FormRule {
  /** Whether a certificate's name is fit to be compared. */
  isName(value: Subtree): boolean;
  /** Whether a constraint's base is well-formed. */
  isBase(value: Subtree): boolean;
  /** `excluded` errs towards a match, `permitted` away from it. */
  matches(name: Subtree, base: Subtree, direction: 'permitted' | 'excluded'): boolean;
}

const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const DNS = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
const HOST_OR_DOMAIN = new RegExp(`^\\.?${LABEL}(?:\\.${LABEL})*$`);
const IPV4 = /^\d+(?:\.\d+){3}$/;
const MAILBOX = /^([^@\s]+)@([^@\s]+)$/;

const text = (value: Subtree): string => value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : '';
const lower = (value: Subtree): string => text(value).toLowerCase();
const octets = (value: Subtree): Uint8Array => value instanceof Uint8Array ? value : new Uint8Array(0);

const dns: FormRule = {
  isName: (value) => DNS.test(lower(value).replace(/^\*\./, '')),
  // An empty base holds every name; a leading period is for URIs and mail only (RFC 5280 section 4.2.1.10).
  isBase: (value) => value.length === 0 || DNS.test(lower(value)),
  matches(nameValue, baseValue, direction) {
    const name = lower(nameValue);
    const base = lower(baseValue);
    if (base === '' || name === base || name.endsWith(`.${base}`)) return true;
    // `*.example.com` speaks for names inside `a.example.com` too.
    return direction === 'excluded' && name.startsWith('*.') && base.endsWith(name.slice(1));
  },
};

/** `.example.com` holds hosts below it; `example.com` is that host alone. */
const hostMatches = (host: string, base: string): boolean => (base.startsWith('.') ? host.endsWith(base) : host === base);

const uri: FormRule = {
  // Without a host that is a domain name the certificate must be rejected (RFC 5280 section 4.2.1.10).
  isName: (value) => hostOf(value) !== undefined,
  isBase: (value) => HOST_OR_DOMAIN.test(lower(value)),
  matches: (name, base) => hostMatches(hostOf(name) ?? '', lower(base)),
};

function hostOf(value: Subtree): string | undefined {
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(text(value))?.[1];
  const host = authority?.replace(/^.*@/, '').replace(/:\d*$/, '').toLowerCase();
  return host !== undefined && DNS.test(host) && !IPV4.test(host) ? host : undefined;
}

const email: FormRule = {
  isName: (value) => DNS.test(MAILBOX.exec(text(value))?.[2]?.toLowerCase() ?? ''),
  isBase: (value) => email.isName(value) || HOST_OR_DOMAIN.test(lower(value)),
  matches(nameValue, baseValue) {
    const [, user, host = ''] = MAILBOX.exec(text(nameValue)) ?? [];
    const mailbox = MAILBOX.exec(text(baseValue));
    // The local part is compared exactly, the host without regard to case (RFC 5280 section 7.5).
    return mailbox === null
      ? hostMatches(host.toLowerCase(), lower(baseValue))
      : user === mailbox[1] && host.toLowerCase() === mailbox[2]?.toLowerCase();
  },
};

const ip: FormRule = {
  isName: (value) => value.length === 4 || value.length === 16,
  isBase: (value) => (value.length === 8 || value.length === 32) && isPrefixMask(octets(value).subarray(value.length / 2)),
  matches(nameValue, baseValue) {
    const name = octets(nameValue);
    const base = octets(baseValue);
    if (base.length !== name.length * 2) return false;
    return name.every((octet, place) => ((octet ^ (base[place] ?? 0)) & (base[name.length + place] ?? 0)) === 0);
  },
};

/** A mask is ones, then zeros, as CIDR has it (RFC 5280 section 4.2.1.10). */
const isPrefixMask = (mask: Uint8Array): boolean =>
  /^1*0*$/.test([...mask].map((octet) => octet.toString(2).padStart(8, '0')).join(''));

const directory: FormRule = {
  isName: (value) => !(value instanceof Uint8Array),
  isBase: (value) => !(value instanceof Uint8Array),
  matches: (name, base) => !(name instanceof Uint8Array) && !(base instanceof Uint8Array) && isWithin(name, base),
};

/** The forms whose constraints RFC 5280 section 4.2.1.10 defines. */
export const nameForms: Readonly<Partial<Record<NameForm, FormRule>>> = { 1: email, 2: dns, 4: directory, 6: uri, 7: ip };
