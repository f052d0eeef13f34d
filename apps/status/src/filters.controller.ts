import { Controller, Get, Inject, Param, Req, Res } from '@nestjs/common';
import { type Clock, PkiError } from '@fleetroot/core';
import { Public } from '@fleetroot/http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Filters } from './filters.ts';
import { CLOCK } from './published.controller.ts';
import { type PublishedObject, send } from './representation.ts';

/** `CA.filter`, `CA/BASE.delta` (the newest) and `CA/BASE-VERSION.delta`. */
@Controller('filter')
@Public()
export class FiltersController {
  readonly #filters: Filters;
  readonly #clock: Clock;

  constructor(@Inject(Filters) filters: Filters, @Inject(CLOCK) clock: Clock) {
    this.#filters = filters;
    this.#clock = clock;
  }

  @Get(':file')
  async full(@Param('file') file: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const [, ca] = /^([a-z0-9][a-z0-9-]{0,63})\.filter$/.exec(file) ?? [];
    if (ca === undefined) throw unknown();
    await this.#send(request, reply, await this.#filters.full(ca));
  }

  @Get(':ca/:file')
  async delta(@Param('ca') ca: string, @Param('file') file: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const [, base, version] = /^(\d{1,18})(?:-(\d{1,18}))?\.delta$/.exec(file) ?? [];
    if (base === undefined) throw unknown();
    await this.#send(request, reply, await this.#filters.delta(ca, BigInt(base), version === undefined ? undefined : BigInt(version)));
  }

  #send(request: FastifyRequest, reply: FastifyReply, object: PublishedObject): Promise<void> {
    return send(object, request, reply, this.#clock.now());
  }
}

const unknown = (): PkiError => new PkiError('http.not-found', 'nothing of this name; filters are called CA.filter, CA/BASE.delta and CA/BASE-VERSION.delta');
