/*
 * Reader of Fleetroot's revocation filters, for ECUs and gateways: C99, no dependency, no allocation, no floating point,
 * some 500 octets of stack. The format: docs/filter.md. Copy these two files.
 */
#ifndef FLEETROOT_FILTER_H
#define FLEETROOT_FILTER_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
  FRF_OK = 0,
  FRF_CUT_OFF,   /* shorter or longer than it says */
  FRF_FORMAT,    /* no filter, or of a format that this reader does not know */
  FRF_WRONG_CA,  /* of another CA */
  FRF_SIGNATURE, /* the signature does not hold */
  FRF_DAMAGED,   /* the tables are not those that were signed, or do not lie in the file */
  FRF_BASE       /* the delta goes with another full filter */
} frf_error;

typedef enum {
  FRF_REVOKED = 1,
  FRF_NOT_REVOKED = 2,
  FRF_NOT_COVERED = 3, /* issued after the filter was made: ask OCSP or a CRL */
  FRF_TOO_OLD = 4,     /* fetch a newer delta or filter */
  FRF_OTHER_CA = 5
} frf_answer;

/*
 * Whether the signature over `signed_octets` (200) is one of the CA's key. `sha256` is their digest, all that ecdsa-sha256 (1)
 * and rsa-sha256 (5) need. An ECDSA signature is r and s, each as long as the order of the curve. 1: yes. Whatever else: no.
 */
typedef int (*frf_verify)(void *context, uint8_t algorithm, const uint8_t *signed_octets, size_t count, const uint8_t sha256[32],
                          const uint8_t *signature, size_t signature_octets);

/* A file that was opened; it points into the caller's octets, which must stay as they are. */
typedef struct {
  const uint8_t *header;
  const uint8_t *body;
  uint32_t body_octets;
  uint8_t header_sha256[32];
} frf_file;

/* `ca` is the SHA-256 of the CA's SubjectPublicKeyInfo (DER). `file` is of use only after FRF_OK. */
frf_error frf_open(frf_file *file, const uint8_t *octets, size_t count, const uint8_t ca[32], frf_verify verify, void *context);

/* Whether `delta` goes with `full`: once, after both were opened. */
frf_error frf_match(const frf_file *full, const frf_file *delta);

/*
 * `delta` may be NULL; else frf_match said FRF_OK. `issuer` is the SHA-256 of the SubjectPublicKeyInfo of the certificate's
 * issuer, `serial` its serial number, big-endian; times are seconds since 1970. The certificate must have been verified:
 * signature, issuer, and that it has not expired.
 */
frf_answer frf_status(const frf_file *full, const frf_file *delta, const uint8_t issuer[32], const uint8_t *serial, size_t serial_octets,
                      int64_t not_before, int64_t now);

uint64_t frf_version(const frf_file *file);

void frf_sha256(const uint8_t *octets, size_t count, uint8_t digest[32]);

#endif
