import { Controller, Get, Inject, Post, Req, Res } from '@nestjs/common';
import { PkiError } from '@fleetroot/core';
import { Limits, Public } from '@fleetroot/http';
import { decodeOcspGetPath } from '@fleetroot/ocsp';
import { OCSP_MAX_OCTETS } from '@fleetroot/x509';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OcspFront, type OcspMethod } from './ocsp-front.ts';
import { OCSP_RESPONSE, ocspHeaders } from './ocsp-http.ts';

/** What OcspFront leaves: HEAD, bodies without a length, and what must be refused. */
@Controller('ocsp')
@Public()
export class OcspController {
  readonly #front: OcspFront;

  constructor(@Inject(OcspFront) front: OcspFront) {
    this.#front = front;
  }

  @Post()
  @Limits({ bodyLimit: OCSP_MAX_OCTETS })
  async post(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    await this.#send(bodyOf(request), 'POST', reply);
  }

  /** The path as it came over the wire: slashes, `+` and escapes of the base64 are its own, not the router's. */
  @Get('*')
  async get(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const path = (request.raw.url ?? '').split('?', 1)[0] ?? '';
    await this.#send(decodeOcspGetPath(path.slice('/ocsp/'.length)), 'GET', reply);
  }

  async #send(request: Uint8Array, method: OcspMethod, reply: FastifyReply): Promise<void> {
    const answer = await this.#front.answer(request, method);
    const headers = ocspHeaders(answer, method, Date.now());
    for (let i = 0; i < headers.length; i += 2) void reply.header(headers[i] ?? '', headers[i + 1]);
    await reply.code(200).type(OCSP_RESPONSE).send(Buffer.from(answer.der));
  }
}

/** @throws PkiError `http.media-type` where it came as something else that this app can read */
function bodyOf(request: FastifyRequest): Uint8Array {
  if (Buffer.isBuffer(request.body)) return request.body;
  if (request.body === undefined || request.body === null) return new Uint8Array(0);
  throw new PkiError('http.media-type', 'send the request as application/ocsp-request');
}
