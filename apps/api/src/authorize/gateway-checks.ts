import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { isPkiError } from '@fleetroot/core';
import type { Authenticate } from '@fleetroot/http';
import { type Authorization, type ClientAuthorizer, type ClientReason, clientReasons, type ClientTexts } from '@fleetroot/trust';
import { readCertificate, readEscapedPem } from './certificate-text.ts';
import { readClientCert } from './client-cert.ts';
import { fields, type ProxyFields, proxyFields } from './header-fields.ts';
import type { Proxies, ProxyForm, ProxyGrant } from './proxies.ts';
import { readLastXfcc, readXfcc } from './xfcc.ts';

export interface GatewayCheckParts {
  readonly authorizer: ClientAuthorizer;
  readonly proxies: Proxies;
  readonly principalOf: (token: string) => ReturnType<Authenticate>;
  /** Called once an answer. `form`: `body`, or how the proxy told. */
  readonly onAnswer: (form: 'body' | ProxyForm | 'none', reason: ClientReason) => void;
}

type Answer = Authorization | Promise<Authorization>;

/** Role of the principal whose token a proxy sends. */
const PROXY_ROLE = 'gateway';

const refusal = (reason: ClientReason): Authorization => ({ allowed: false, reason, detail: clientReasons[reason] });

/** The certificate of a client, as gateways tell it, and what becomes of it. */
export class GatewayChecks {
  readonly #parts: GatewayCheckParts;
  readonly #body: ClientTexts;
  readonly #byForm: Readonly<Record<ProxyForm, ClientTexts>>;
  /** A proxy keeps its connections: its address is looked up once for each. */
  readonly #grants = new WeakMap<Socket, ProxyGrant>();

  constructor(parts: GatewayCheckParts) {
    const { authorizer } = parts;
    this.#parts = parts;
    this.#body = authorizer.texts((text) => readCertificate(text) ?? 'certificate.malformed');
    this.#byForm = {
      'escaped-pem': authorizer.texts(readEscapedPem), xfcc: authorizer.texts(readXfcc), 'xfcc-last': authorizer.texts(readLastXfcc),
      'client-cert': authorizer.texts(readClientCert),
    };
  }

  /** Of a certificate in the body of a request: PEM or base64. */
  async ofBody(text: string, truststore: string | undefined): Promise<Authorization> {
    return this.#answered('body', await this.#body.authorize(text, truststore));
  }

  /** Of a certificate in a header of a proxy's request; at once, where all is known. */
  ofHeaders(request: IncomingMessage): Answer {
    const grant = this.#grantOf(request.socket);
    if (grant === undefined) return this.#answered('none', refusal('proxy.unknown'));
    const answer = this.#ofGranted(grant, request.rawHeaders);
    return answer instanceof Promise ? answer.then((one) => this.#answered(grant.form, one)) : this.#answered(grant.form, answer);
  }

  #ofGranted(grant: ProxyGrant, rawHeaders: readonly string[]): Answer {
    const found = proxyFields(rawHeaders);
    if (found === 'twice') return refusal('header.ambiguous');
    if (!grant.token) return this.#ofFields(grant.form, found);
    return this.#isGateway(found[fields.token]).then((reason) => (reason === undefined ? this.#ofFields(grant.form, found) : refusal(reason)));
  }

  #ofFields(form: ProxyForm, found: ProxyFields): Answer {
    const text = textOf(form, found);
    if (typeof text !== 'string') return refusal(text.reason);
    return this.#byForm[form].authorize(text, found[fields.truststore] || undefined);
  }

  /** Undefined: it is the token of a gateway. */
  async #isGateway(token: string | undefined): Promise<ClientReason | undefined> {
    try {
      const principal = await this.#parts.principalOf(token ?? '');
      return principal?.roles.includes(PROXY_ROLE) === true ? undefined : 'proxy.token-invalid';
    } catch (error) {
      if (isPkiError(error) && error.code === 'store.unavailable') return 'status.unavailable';
      throw error;
    }
  }

  #grantOf(socket: Socket): ProxyGrant | undefined {
    const known = this.#grants.get(socket);
    if (known !== undefined) return known;
    const grant = this.#parts.proxies.grant(socket.remoteAddress);
    if (grant !== undefined) this.#grants.set(socket, grant);
    return grant;
  }

  #answered(form: 'body' | ProxyForm | 'none', answer: Authorization): Authorization {
    this.#parts.onAnswer(form, answer.reason);
    return answer;
  }
}

/** What the proxy says of its client, and nobody else: a request that tells of a certificate in another field too is refused. */
function textOf(form: ProxyForm, found: ProxyFields): string | { readonly reason: ClientReason } {
  const { [fields.escapedPem]: escapedPem = '', [fields.xfcc]: xfcc = '', [fields.clientCert]: clientCert = '', [fields.clientCertChain]: chain = '' } = found;
  const told = { 'escaped-pem': escapedPem, xfcc, 'xfcc-last': xfcc, 'client-cert': clientCert }[form];
  const others = [escapedPem, xfcc, clientCert].filter((text) => text !== '').length - (told === '' ? 0 : 1);
  if (others > 0 || (chain !== '' && form !== 'client-cert')) return { reason: 'header.conflicting' };
  if (told === '') return { reason: chain === '' ? 'certificate.missing' : 'header.conflicting' };
  return chain === '' ? told : `${told}\n${chain}`;
}
