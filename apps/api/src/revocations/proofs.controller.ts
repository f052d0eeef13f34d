import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { COMPROMISE_PURPOSE } from '@fleetroot/authority';
import { Limits, Public, ZodPipe } from '@fleetroot/http';
import { z } from 'zod';
import { Operation } from '../openapi/operation.ts';
import { CompromiseProofs } from './compromise-proofs.ts';

const proofBody = z.strictObject({
  csr: z.string().max(24_000).meta({
    description: `PKCS#10 request, PEM or base64 of the DER, signed by the key, with the subject O=${COMPROMISE_PURPOSE}, CN=SHA-256 of its SubjectPublicKeyInfo in hex`,
  }),
}).meta({ id: 'CompromiseProof' });

const provenSchema = z.object({
  publicKeySha256: z.string(),
  changed: z.int().nonnegative().meta({ description: 'certificates that were revoked, or for another reason, until now' }),
  certificates: z.array(z.object({ ca: z.string(), serial: z.string() })).meta({ description: 'unexpired ones with this key; all are revoked for keyCompromise' }),
}).meta({ id: 'ProvenCompromise' });

@Controller('v1/revocations/proof')
@Public()
export class ProofsController {
  readonly #proofs: CompromiseProofs;

  constructor(@Inject(CompromiseProofs) proofs: CompromiseProofs) {
    this.#proofs = proofs;
  }

  @Post() @HttpCode(200)
  @Limits({ bodyLimit: 32 * 1024 })
  @Operation({
    tag: 'Revocations', summary: 'Proves that a key is compromised, by its own signature',
    description: 'Open to everyone who has the key: it needs no token. Revokes every unexpired certificate with it, and the key is certified for nobody again. The same again changes nothing.',
    body: { 'application/json': proofBody },
    responses: { 200: { description: 'Revoked', content: { 'application/json': provenSchema } } },
  })
  async prove(@Body(new ZodPipe(proofBody)) { csr }: z.output<typeof proofBody>): Promise<z.infer<typeof provenSchema>> {
    const { publicKeySha256, changed, certificates } = await this.#proofs.take(csr);
    return { publicKeySha256, changed, certificates: certificates.map(({ ca, serial }) => ({ ca, serial })) };
  }
}
