/** Fields that the authorizer reads; in lower case, as they are compared. */
export const fields = {
  escapedPem: 'x-ssl-client-cert', xfcc: 'x-forwarded-client-cert', clientCert: 'client-cert', clientCertChain: 'client-cert-chain',
  token: 'x-fleetroot-proxy-token', truststore: 'x-fleetroot-truststore',
} as const;

type Field = (typeof fields)[keyof typeof fields];

const byName: ReadonlySet<string> = new Set(Object.values(fields));
const LENGTHS: ReadonlySet<number> = new Set([...byName].map(({ length }) => length));

export type ProxyFields = Partial<Record<Field, string>>;

/**
 * Those fields of a request as they came, name and value in turn. A field that came twice is told as such: Node would join
 * both into one value or drop one, and whose that is nobody knows. One without a value counts as absent.
 */
export function proxyFields(rawHeaders: readonly string[]): ProxyFields | 'twice' {
  const found: ProxyFields = {};
  for (let place = 0; place < rawHeaders.length; place += 2) {
    const given = rawHeaders[place] ?? '';
    if (!LENGTHS.has(given.length)) continue;
    const name = given.toLowerCase();
    if (!byName.has(name)) continue;
    if (found[name as Field] !== undefined) return 'twice';
    found[name as Field] = rawHeaders[place + 1] ?? '';
  }
  return found;
}
