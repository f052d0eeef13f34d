import { Controller, Get, Inject, Query, Res } from '@nestjs/common';
import type { ChainedEvent } from '@fleetroot/audit';
import { toHex } from '@fleetroot/core';
import { Limits, ZodPipe } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Ledger } from '../ledger.ts';
import { NDJSON, ndjsonStream } from '../ndjson.ts';
import { Operation } from '../openapi/operation.ts';
import { Roles } from '../roles.ts';
import { CLOSING, LEDGER } from '../tokens.ts';

const auditQuery = z.strictObject({
  from: z.coerce.number().int().min(1).default(1).meta({ description: 'the first event wanted, from 1' }),
});

const eventSchema = z.object({
  seq: z.int().positive(),
  payload: z.string().meta({ description: 'canonical JSON of the event: the octets that the hash covers' }),
  prevHash: z.string(), hash: z.string(),
}).meta({ id: 'AuditEvent' });

@Controller('v1/audit')
@Roles('auditor')
export class AuditController {
  readonly #ledger: Ledger;
  readonly #closing: AbortSignal;

  constructor(@Inject(LEDGER) ledger: Ledger, @Inject(CLOSING) closing: AbortSignal) {
    this.#ledger = ledger;
    this.#closing = closing;
  }

  @Get()
  @Limits({ streaming: true })
  @Operation({
    tag: 'Audit', summary: 'The audit chain, for a verifier of one\'s own',
    description: 'hash = SHA-256(prevHash, seq as 8 octets big-endian, payload in UTF-8); the first prevHash is 32 zero octets.',
    query: auditQuery,
    responses: { 200: { description: 'One event a line', content: { [NDJSON]: eventSchema } } },
  })
  events(@Query(new ZodPipe(auditQuery, 'http.query-invalid')) query: z.output<typeof auditQuery>, @Res() reply: FastifyReply): void {
    void reply.type(NDJSON).send(ndjsonStream((signal) => eventLines(this.#ledger.audit.events(BigInt(query.from)), signal), this.#closing));
  }
}

async function* eventLines(events: AsyncIterable<ChainedEvent>, signal: AbortSignal): AsyncGenerator<string> {
  for await (const { seq, payload, prevHash, hash } of events) {
    if (signal.aborted) return;
    yield `{"seq":${seq},"payload":${JSON.stringify(payload)},"prevHash":"${toHex(prevHash)}","hash":"${toHex(hash)}"}\n`;
  }
}
