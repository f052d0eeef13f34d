import { PkiError } from '@fleetroot/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/**
 * The bodies an app reads: JSON, the octets of the media types in `octetTypes` (as a Buffer), and
 * `application/x-ndjson` as the stream itself, on routes that declare `streaming`.
 */
export function readBodies(app: FastifyInstance, octetTypes: readonly string[]): void {
  app.decorateRequest('rawBody', undefined);
  // Fastify would read JSON and text by itself; text has no reader here.
  app.removeAllContentTypeParsers();
  const json = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (request.routeOptions.config.rawBody === true) request.rawBody = body as Buffer;
    void json(request, body.toString('utf8'), done);
  });
  app.addContentTypeParser('application/x-ndjson', (request, payload, done) => {
    if (acceptsStream(request)) done(null, payload);
    else done(new PkiError('http.media-type', 'this resource takes no NDJSON'), undefined);
  });
  for (const type of octetTypes) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  }
}

function acceptsStream(request: FastifyRequest): boolean {
  return !request.is404 && request.routeOptions.config.streaming === true && (request.method === 'POST' || request.method === 'PATCH');
}
