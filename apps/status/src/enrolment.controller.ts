import { Controller, Get, Header, Inject } from '@nestjs/common';
import { Public } from '@fleetroot/http';
import { Enrolment, type OcspSignerRequest } from './enrolment.ts';

/** On the internal listener only. Open: a request is no secret, and its HMAC says whose it is. */
@Controller()
@Public()
export class EnrolmentController {
  readonly #enrolment: Enrolment;

  constructor(@Inject(Enrolment) enrolment: Enrolment) {
    this.#enrolment = enrolment;
  }

  @Get('ocsp-signer-requests')
  @Header('cache-control', 'no-store')
  requests(): Promise<readonly OcspSignerRequest[]> {
    return this.#enrolment.requests();
  }

  @Get('ocsp-signer-request.pem')
  @Header('cache-control', 'no-store')
  @Header('content-type', 'application/x-pem-file')
  request(): Promise<string> {
    return this.#enrolment.pem();
  }
}
