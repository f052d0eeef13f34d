import { createHash } from 'node:crypto';
import { Body, Controller, Get, HttpCode, Inject, Post, Query } from '@nestjs/common';
import { type Clock, PkiError, toHex } from '@fleetroot/core';
import { checkSupplierCa, type RegistrationRecord, type Supplier } from '@fleetroot/fleet';
import { Caller, type HttpPrincipal, ZodPipe } from '@fleetroot/http';
import { decodePem, encodePem } from '@fleetroot/x509';
import { z } from 'zod';
import type { Ledger } from '../ledger.ts';
import { Operation } from '../openapi/operation.ts';
import { cursorId, type Page, pageOf, pageQuery } from '../page.ts';
import { Roles } from '../roles.ts';
import { CLOCK, LEDGER } from '../tokens.ts';

const newSupplier = z.strictObject({
  name: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, { error: 'not of the form' }).meta({ description: 'lower-case letters, digits, inner "-"' }),
  certificate: z.string().max(64 * 1024).meta({ description: 'PEM of the CA that signs its factory certificates' }),
}).meta({ id: 'NewSupplier' });

const supplierSchema = z.object({
  name: z.string(), certificate: z.string().meta({ description: 'PEM' }), disabledAt: z.iso.datetime().nullable(),
}).meta({ id: 'Supplier' });

const registrationSchema = z.object({
  id: z.string(), at: z.iso.datetime(), outcome: z.enum(['registered', 'known', 'refused']),
  code: z.string().nullable().meta({ description: 'why it was refused' }), detail: z.string().nullable(),
  supplier: z.string().nullable(), ecuSerial: z.string().nullable(),
}).meta({ id: 'Registration' });

const listQuery = z.strictObject(pageQuery);

@Controller('v1')
@Roles('admin', 'security', 'auditor')
export class SuppliersController {
  readonly #ledger: Ledger;
  readonly #clock: Clock;

  constructor(@Inject(LEDGER) ledger: Ledger, @Inject(CLOCK) clock: Clock) {
    this.#ledger = ledger;
    this.#clock = clock;
  }

  @Get('suppliers')
  @Operation({
    tag: 'First connections', summary: 'The suppliers whose ECUs may register themselves',
    responses: { 200: { description: 'All of them', content: { 'application/json': z.object({ items: z.array(supplierSchema) }) } } },
  })
  async suppliers(): Promise<{ items: z.infer<typeof supplierSchema>[] }> {
    return { items: (await this.#ledger.suppliers.all()).map(supplierBody) };
  }

  @Post('suppliers') @Roles('admin') @HttpCode(201)
  @Operation({
    tag: 'First connections', summary: 'Registers a supplier by its CA',
    body: { 'application/json': newSupplier },
    responses: { 201: { description: 'Registered', content: { 'application/json': supplierSchema } } },
  })
  async register(
    @Caller() principal: HttpPrincipal, @Body(new ZodPipe(newSupplier)) body: z.output<typeof newSupplier>,
  ): Promise<z.infer<typeof supplierSchema>> {
    const blocks = decodePem(body.certificate, 'supplier.certificate-invalid');
    const [block] = blocks;
    if (block === undefined || blocks.length > 1 || block.label !== 'CERTIFICATE') {
      throw new PkiError('supplier.certificate-invalid', 'send exactly one CERTIFICATE in PEM');
    }
    const at = this.#clock.now();
    const { der } = checkSupplierCa(block.der, at);
    return supplierBody(await this.#ledger.suppliers.register(body.name, der, {
      action: 'supplier.registered', actor: `principal:${principal.name}`, at, subject: `supplier:${body.name}`,
      data: { certificateSha256: toHex(createHash('sha256').update(der).digest()) },
    }));
  }

  @Get('registrations')
  @Operation({
    tag: 'First connections', summary: 'First connections and what became of them, newest first',
    query: listQuery,
    responses: { 200: { description: 'A page', content: { 'application/json': z.object({ items: z.array(registrationSchema), nextCursor: z.string().nullable() }) } } },
  })
  async registrations(
    @Query(new ZodPipe(listQuery, 'http.query-invalid')) query: z.output<typeof listQuery>,
  ): Promise<Page<z.infer<typeof registrationSchema>>> {
    const rows = await this.#ledger.registrations.list(cursorId(query.cursor), query.limit + 1);
    return pageOf(rows, query.limit, registrationBody);
  }
}

function supplierBody({ name, certificate, disabledAt }: Supplier): z.infer<typeof supplierSchema> {
  return { name, certificate: encodePem('CERTIFICATE', certificate), disabledAt: disabledAt?.toISOString() ?? null };
}

function registrationBody({ id, at, outcome, code, detail, supplier, ecuSerial }: RegistrationRecord): z.infer<typeof registrationSchema> {
  return {
    id: String(id), at: at.toISOString(), outcome, code: code ?? null, detail: detail ?? null, supplier: supplier ?? null,
    ecuSerial: ecuSerial ?? null,
  };
}
