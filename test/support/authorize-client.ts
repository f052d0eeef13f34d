import { request } from 'node:http';

export interface ProxyAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

export interface ProxyRequest {
  readonly method?: string;
  readonly path?: string;
  /** Where the connection comes from; any of 127/8. */
  readonly from?: string;
  /** Name and value in turn: names may come twice. */
  readonly headers?: readonly string[];
  readonly body?: string;
}

/** One request as a proxy sends it. */
export function asProxy(port: number, { method = 'GET', path = '/v1/authorize/nginx', from = '127.0.0.2', headers = [], body }: ProxyRequest): Promise<ProxyAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, localAddress: from, headers: ['Host', 'api', ...headers], agent: false }, (response) => {
      response.resume().on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers as Record<string, string> }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
