/** What kind of failure it is; an edge (HTTP, OCSP, a process's exit status) maps each kind once, exhaustively. */
export type ErrorKind =
  | 'invalid' | 'unauthenticated' | 'forbidden' | 'not-found' | 'method' | 'not-acceptable' | 'conflict' | 'gone' | 'too-large'
  | 'media-type' | 'refused' | 'too-many' | 'unavailable' | 'timeout' | 'internal';

/** `never`: the same call fails again; `later`: it may succeed unchanged; `stop`: the process must end. */
export type Retry = 'never' | 'later' | 'stop';

interface Entry {
  readonly title: string;
  readonly kind: ErrorKind;
  readonly retry: Retry;
}

const never = (kind: ErrorKind, title: string): Entry => ({ title, kind, retry: 'never' });
const later = (kind: ErrorKind, title: string): Entry => ({ title, kind, retry: 'later' });
const stop = (kind: ErrorKind, title: string): Entry => ({ title, kind, retry: 'stop' });

/** Every error code of Fleetroot. Codes are never renamed; their number is pinned by a test. */
export const errorCatalogue = {
  // Certification requests
  'request.empty': never('invalid', 'The certification request is empty'),
  'request.malformed': never('invalid', 'The certification request is not valid DER'),
  'request.trailing-bytes': never('invalid', 'Bytes follow the certification request'),
  'request.pem-invalid': never('invalid', 'The PEM of the certification request is broken'),
  'request.pem-label': never('invalid', 'The PEM block is not a certification request'),
  'request.pem-count': never('invalid', 'Exactly one PEM block is expected'),
  'request.too-large': never('too-large', 'The certification request is too large'),
  'request.signature-invalid': never('invalid', 'The request is not signed by the key it holds'),
  'request.signature-algorithm-refused': never('refused', 'The signature algorithm of the request is refused'),
  'request.key-refused': never('refused', 'The public key of the request is refused'),
  'request.ca-requested': never('refused', 'The request asks for CA rights'),
  'request.name-refused': never('refused', 'A name in the request is not allowed by the profile'),
  // What is known of the vehicle and its parts
  'vin.invalid': never('invalid', 'The VIN is not valid'),
  'ecu.serial-invalid': never('invalid', 'The ECU serial is not valid'),
  'ecu.part-number-invalid': never('invalid', 'The part number is not valid'),
  'ecu.part-number-conflict': never('conflict', 'The ECU is registered with another part number'),
  'ecu.lot-invalid': never('invalid', 'The supplier\'s lot is not valid'),
  'ecu.lot-conflict': never('conflict', 'The ECU is registered with another lot'),
  'ecu.vehicle-conflict': never('conflict', 'The ECU is registered in another vehicle'),
  'ecu.not-found': never('not-found', 'No such ECU'),
  'key.other-ecu': never('conflict', 'The public key belongs to another ECU'),
  'key.blocked': never('refused', 'The public key is blocked'),
  // Keys that are made here
  'key.not-found': never('not-found', 'No such key'),
  'key.not-ready': later('conflict', 'The certificate of the key is not issued yet'),
  'key.not-delivered': never('conflict', 'The key was not handed out yet'),
  'key.gone': never('gone', 'The key was deleted'),
  'key.recipient-refused': never('refused', 'The certificate of the recipient is not acceptable'),
  'key.password-incorrect': never('forbidden', 'The password does not open the key'),
  // Profiles
  'profile.invalid': stop('invalid', 'The profile file is not valid'),
  'profile.not-found': never('not-found', 'No such profile'),
  'profile.forbidden': never('forbidden', 'The profile may not be used by this principal'),
  'profile.keys-not-made': never('forbidden', 'The profile allows no keys that are made here'),
  'profile.field-missing': never('invalid', 'The profile needs a field that the request lacks'),
  // Batches
  'batch.not-found': never('not-found', 'No such batch'),
  'batch.empty': never('invalid', 'The batch has no item'),
  'batch.too-many-items': never('too-large', 'The batch has too many items'),
  'batch.line-invalid': never('invalid', 'A line of the batch is not a JSON object of the expected form'),
  'batch.line-too-large': never('too-large', 'A line of the batch is too large'),
  'batch.cancelled': never('conflict', 'The batch was cancelled before the item was issued'),
  'upload.offset': never('conflict', 'The part does not begin where the upload stands'),
  'upload.incomplete': never('conflict', 'The upload is not what its sender says that it sent'),
  'upload.accepted': never('conflict', 'The upload was accepted already'),
  'idempotency.key-invalid': never('invalid', 'The Idempotency-Key is missing or not valid'),
  'idempotency.conflict': never('conflict', 'The Idempotency-Key was used with another body'),
  'idempotency.in-progress': later('conflict', 'A request with this Idempotency-Key is being received'),
  // Certificates and revocation
  'certificate.not-found': never('not-found', 'No such certificate'),
  'certificate.serial-invalid': never('invalid', 'The serial number is not valid'),
  'certificate.malformed': never('invalid', 'The certificate is not valid DER'),
  'certificate.path-invalid': never('refused', 'The certification path is not valid'),
  'certificate.ambiguous': never('conflict', 'More than one CA has issued this serial number'),
  'certificate.lint': never('internal', 'The certificate to be signed breaks a rule'),
  'revocation.conflict': never('conflict', 'The certificate is revoked already, for another reason'),
  'revocation.not-found': never('not-found', 'No such revocation'),
  'revocation.query-refused': never('invalid', 'The query of the revocation is not acceptable'),
  'revocation.too-many-targets': never('too-large', 'The query finds more certificates than one revocation may be of'),
  'revocation.approval-refused': never('forbidden', 'The approval is not acceptable'),
  'revocation.state-refused': never('conflict', 'The state of the revocation does not allow this'),
  'revocation.proof-invalid': never('invalid', 'The proof of the compromise is not of the expected form'),
  'issuance.abandoned': never('internal', 'The issuance was abandoned and its serial number burned'),
  'issuance.timeout': later('timeout', 'The certificate was not issued in time'),
  // Certification authorities
  'ca.name-invalid': never('invalid', 'The name of the CA is not valid'),
  'ca.not-found': never('not-found', 'No such CA'),
  'ca.not-active': never('conflict', 'The CA does not issue'),
  'ca.conflict': never('conflict', 'The name, key or serial number belongs to another CA on record'),
  'ca.state-refused': never('conflict', 'The state of the CA does not allow this'),
  'ca.certificate-refused': never('refused', 'The CA certificate is not acceptable'),
  'ca.key-unusable': later('unavailable', 'The key of the CA cannot be used'),
  'ca.forbidden': never('forbidden', 'The CA may not be used by this principal'),
  'ocsp.request-malformed': never('invalid', 'The OCSP request is not valid DER'),
  'crl.not-found': never('not-found', 'No CRL is published yet'),
  'crl.invalid': never('internal', 'The CRL to be published fails its check'),
  'crl.busy': later('unavailable', 'CRLs of the CA are being published'),
  'filter.not-found': never('not-found', 'No such revocation filter is published'),
  'crl.import-refused': never('refused', 'The CRL is not acceptable'),
  'cms.malformed': never('invalid', 'The CMS message is not valid'),
  'cms.signature-invalid': never('invalid', 'A signature of the CMS message is not valid'),
  'ceremony.invalid': never('invalid', 'The ceremony file is not valid'),
  'ceremony.not-approved': never('forbidden', 'The ceremony lacks approvals'),
  'ceremony.transcript-invalid': never('invalid', 'The transcript of a ceremony is not what was signed'),
  // Truststores, suppliers, first connections
  'truststore.not-found': never('not-found', 'No such truststore'),
  'truststore.incomplete': later('unavailable', 'A CA in the truststore has no current CRL'),
  'supplier.not-found': never('not-found', 'No such supplier'),
  'supplier.conflict': never('conflict', 'The supplier or its CA is registered already'),
  'supplier.certificate-invalid': never('invalid', 'The supplier CA certificate is not acceptable'),
  'registration.certificate-missing': never('unauthenticated', 'No client certificate was presented'),
  'registration.issuer-unknown': never('forbidden', 'The client certificate does not chain to a registered supplier CA'),
  'registration.path-invalid': never('forbidden', 'The certification path of the client certificate is not valid'),
  'registration.certificate-expired': never('forbidden', 'A certificate in the path is outside its validity'),
  'registration.certificate-revoked': never('forbidden', 'The client certificate is revoked'),
  'registration.identity-missing': never('forbidden', 'The client certificate names no ECU'),
  'registration.identity-conflict': never('conflict', 'The ECU is registered with another factory key'),
  'registration.supplier-disabled': never('forbidden', 'The supplier is disabled'),
  'registration.not-registered': never('forbidden', 'The ECU is not registered'),
  // Access
  'auth.token-missing': never('unauthenticated', 'A bearer token is needed'),
  'auth.token-invalid': never('unauthenticated', 'The bearer token is not valid'),
  'auth.forbidden': never('forbidden', 'The role of the token does not allow this'),
  // HTTP
  'http.not-found': never('not-found', 'No such resource'),
  'http.method-not-allowed': never('method', 'The method is not allowed here'),
  'http.not-acceptable': never('not-acceptable', 'No representation that the client accepts'),
  'http.media-type': never('media-type', 'The media type of the body is not supported'),
  'http.body-invalid': never('invalid', 'The body is not valid'),
  'http.body-too-large': never('too-large', 'The body is too large'),
  'http.query-invalid': never('invalid', 'A query parameter is not valid'),
  'http.timeout': later('timeout', 'The request took too long'),
  'http.too-many-requests': later('too-many', 'Too many requests'),
  // The HSM
  'hsm.unavailable': later('unavailable', 'The HSM is not available'),
  'hsm.deadline': later('unavailable', 'The HSM did not answer in time'),
  'hsm.pin-incorrect': stop('internal', 'The HSM refused the PIN'),
  'hsm.token-not-found': stop('internal', 'The HSM has no token of that label'),
  'hsm.key-not-found': stop('internal', 'The HSM has no such key'),
  'hsm.key-mismatch': stop('internal', 'The key in the HSM is not the key of the certificate'),
  'hsm.mechanism-missing': stop('internal', 'The HSM lacks a mechanism'),
  'hsm.signature-invalid': stop('internal', 'A signature that the HSM made does not verify'),
  // The parts we stand on
  'store.unavailable': later('unavailable', 'The database is not available'),
  'store.migration': stop('internal', 'The database could not be migrated'),
  'store.stale-fence': never('conflict', 'Another process has taken over this work'),
  'archive.busy': later('conflict', 'Another process is archiving'),
  'archive.damaged': never('internal', 'A file of the archive is missing or was changed'),
  'queue.unavailable': later('unavailable', 'The queue is not available'),
  'queue.handler': stop('internal', 'A job has no handler, or two'),
  'config.invalid': stop('invalid', 'The configuration is not valid'),
  'clock.skew': later('unavailable', 'The clocks of this process and of the database differ too much'),
  'audit.broken': never('internal', 'The audit chain is broken'),
  'setup.failed': stop('internal', 'The set-up could not be finished'),
  internal: later('internal', 'An unexpected error'),
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof errorCatalogue;
