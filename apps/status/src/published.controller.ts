import { Controller, Get, Inject, Param, Req, Res } from '@nestjs/common';
import { type CrlPlace, crlPlace } from '@fleetroot/authority';
import { type Clock, PkiError } from '@fleetroot/core';
import { Public } from '@fleetroot/http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Published } from './published.ts';
import { type PublishedObject, send } from './representation.ts';

/** Token of the clock in Nest's container. */
export const CLOCK = Symbol('clock');

/** What AIA and CDP of every certificate point to, and what a gateway needs to let clients in. */
@Controller()
@Public()
export class PublishedController {
  readonly #published: Published;
  readonly #clock: Clock;

  constructor(@Inject(Published) published: Published, @Inject(CLOCK) clock: Clock) {
    this.#published = published;
    this.#clock = clock;
  }

  @Get('ca/:file')
  async certificates(@Param('file') file: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const object = file.endsWith('.p7c')
      ? await this.#published.certificates(nameOf(file, '.p7c'))
      : await this.#published.certificate(nameOf(file, '.cer'));
    await this.#send(request, reply, object);
  }

  @Get('crl/:file')
  async crl(@Param('file') file: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    await this.#send(request, reply, await this.#published.crl(placeOf(`crl/${file}`)));
  }

  @Get('crl/:ca/:shards/:file')
  async shard(
    @Param('ca') ca: string, @Param('shards') shards: string, @Param('file') file: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.#send(request, reply, await this.#published.crl(placeOf(`crl/${ca}/${shards}/${file}`)));
  }

  @Get('truststores/:file')
  async truststore(@Param('file') file: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const object = file.endsWith('.crl.pem')
      ? await this.#published.truststoreCrls(nameOf(file, '.crl.pem'))
      : await this.#published.truststore(nameOf(file, '.pem'));
    await this.#send(request, reply, object);
  }

  #send(request: FastifyRequest, reply: FastifyReply, object: PublishedObject): Promise<void> {
    return send(object, request, reply, this.#clock.now());
  }
}

/** @throws PkiError `http.not-found` */
function placeOf(path: string): CrlPlace {
  const place = crlPlace(path);
  if (place === undefined) throw new PkiError('http.not-found', 'CRLs are called CA.crl and CA/SHARDS/SHARD.crl, deltas the same with .delta.crl');
  return place;
}

/** `NAME` of `NAME.cer`. @throws PkiError `http.not-found` */
function nameOf(file: string, suffix: string): string {
  const name = file.endsWith(suffix) ? file.slice(0, -suffix.length) : '';
  if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(name)) throw new PkiError('http.not-found', `nothing of this name; objects here are called NAME${suffix}`);
  return name;
}
