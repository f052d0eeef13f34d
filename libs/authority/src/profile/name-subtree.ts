import { encodeName, type NameSubtree } from '@fleetroot/x509';
import { z } from 'zod';
import { oneOf } from './forms.ts';
import { textFault } from './names.ts';
import { network } from './network.ts';
import { subjectAttributes } from './profile.ts';

/** Subtrees of name constraints as files write them: `{ dns: example.com }` and so on (RFC 5280 section 4.2.1.10). */

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const DOMAIN = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
const HOST_OR_DOMAIN = new RegExp(`^\\.?${LABEL}(?:\\.${LABEL})*$`);
const MAIL = new RegExp(`^(?:[a-z0-9._+-]+@${LABEL}|\\.?${LABEL})(?:\\.${LABEL})*$`, 'i');

const directoryPart = z.strictObject({ type: oneOf(subjectAttributes), value: z.string({ error: 'must be a text: put it in quotes' }) })
  .superRefine(({ type, value }, context) => {
    const fault = textFault(type, value);
    if (fault !== undefined) context.addIssue({ code: 'custom', path: ['value'], message: fault });
  });

export const nameSubtree = z.strictObject({
  dns: z.string().regex(DOMAIN, { error: 'must be a domain in lower case, without a leading period: example.com' }).optional(),
  uri: z.string().regex(HOST_OR_DOMAIN, { error: 'must be a host, or a domain with a leading period: .example.com' }).optional(),
  email: z.string().regex(MAIL, { error: 'must be a mailbox, a host, or a domain with a leading period' }).optional(),
  ip: z.string().refine((text) => network(text) !== undefined, { error: 'must be a network in CIDR notation: 192.0.2.0/24' }).optional(),
  directory: z.array(directoryPart).min(1, { error: 'needs at least one part of a name' }).optional(),
}).transform((subtree, context): NameSubtree => {
  if (Object.values(subtree).filter((each) => each !== undefined).length !== 1) {
    context.addIssue({ code: 'custom', message: 'must have exactly one of dns, uri, email, ip, directory: write { dns: example.com }' });
  }
  const { ip, directory } = subtree;
  // What broke its own rule above is refused with that rule's words; an empty one stands in for it here.
  if (ip !== undefined) return { kind: 'ip', value: network(ip) ?? new Uint8Array(8) };
  if (directory !== undefined) return { kind: 'directory', value: encodeName(directory) };
  const kind = (['dns', 'uri', 'email'] as const).find((each) => subtree[each] !== undefined) ?? 'dns';
  return { kind, value: subtree[kind] ?? '' };
});
