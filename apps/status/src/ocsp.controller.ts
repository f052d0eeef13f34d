import { Controller, Get, Header, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import { PkiError } from '@fleetroot/core';
import { Limits, Public } from '@fleetroot/http';
import { decodeOcspGetPath } from '@fleetroot/ocsp';
import { OCSP_MAX_OCTETS } from '@fleetroot/x509';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Responder } from './responder.ts';

const RESPONSE = 'application/ocsp-response';
const PREFIX = '/ocsp/';

/** OCSP over HTTP (RFC 6960 appendix A). GET and POST of one request get the same answer (I18). */
@Controller('ocsp')
@Public()
export class OcspController {
  readonly #responder: Responder;

  constructor(@Inject(Responder) responder: Responder) {
    this.#responder = responder;
  }

  @Post()
  @Limits({ bodyLimit: OCSP_MAX_OCTETS })
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  async post(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const { der } = await this.#responder.answer(bodyOf(request), 'POST');
    await reply.type(RESPONSE).send(Buffer.from(der));
  }

  /** The path as it came over the wire: slashes, `+` and escapes of the base64 are its own, not the router's. */
  @Get('*')
  async get(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const path = (request.raw.url ?? '').split('?', 1)[0] ?? '';
    const { der, headers } = await this.#responder.answer(decodeOcspGetPath(path.slice(PREFIX.length)), 'GET');
    await reply.headers(headers).type(RESPONSE).send(Buffer.from(der));
  }
}

/** @throws PkiError `http.media-type` where it came as something else that this app can read */
function bodyOf(request: FastifyRequest): Uint8Array {
  if (Buffer.isBuffer(request.body)) return request.body;
  if (request.body === undefined || request.body === null) return new Uint8Array(0);
  throw new PkiError('http.media-type', 'send the request as application/ocsp-request');
}
