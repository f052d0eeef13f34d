#include "fleetroot_filter.h"

#include <string.h>

enum {
  HEADER = 200,
  BLOCK = 28,
  SERIAL = 20,
  MOST_BLOCK_BITS = 8,
  MOST_FINGERPRINT_BITS = 24,
  MOST_SEGMENT_BITS = 18,
  ALGORITHMS = 10,
  /* Places in the header. */
  AT_KIND = 5,
  AT_ALGORITHM = 6,
  AT_FINGERPRINT_BITS = 7,
  AT_CA = 8,
  AT_VERSION = 40,
  AT_BASE_VERSION = 48,
  AT_NUMBERS = 56,
  AT_COVERED_UNTIL = 64,
  AT_NEXT_UPDATE = 72,
  AT_BASE_COVERED_UNTIL = 104,
  AT_KEY = 112,
  AT_BLOCK_BITS = 128,
  AT_BODY_OCTETS = 132,
  AT_BODY_SHA256 = 136,
  AT_BASE_SHA256 = 168
};

#define LARGEST_NUMBER 0x1FFFFFFFFFFFFFu /* 2^53 - 1 */

static uint32_t be32(const uint8_t *at) {
  return ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];
}

static uint64_t be64(const uint8_t *at) { return ((uint64_t)be32(at) << 32) | be32(at + 4); }

static uint64_t le64(const uint8_t *at) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = (value << 8) | at[i];
  return value;
}

/* SHA-256 (FIPS 180-4). */

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotr(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

static void sha256_block(uint32_t state[8], const uint8_t *block) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++) w[i] = be32(block + 4 * i);
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  memcpy(v, state, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = v[7] + (rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
    uint32_t t2 = (rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof v[0]);
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) state[i] += v[i];
}

void frf_sha256(const uint8_t *octets, size_t count, uint8_t digest[32]) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t last[128] = {0};
  size_t left = count % 64, at = count - left, padded = left < 56 ? 64 : 128;
  for (size_t i = 0; i < at; i += 64) sha256_block(state, octets + i);
  if (left > 0) memcpy(last, octets + at, left);
  last[left] = 0x80;
  for (int i = 0; i < 8; i++) last[padded - 1 - (size_t)i] = (uint8_t)(((uint64_t)count << 3) >> (8 * i));
  for (size_t i = 0; i < padded; i += 64) sha256_block(state, last + i);
  for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

/* SipHash-2-4 with 128 bits (Aumasson and Bernstein), of 20 octets. */

typedef struct {
  uint32_t x[4];
} words;

static uint64_t rotl64(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }

static void sip_rounds(uint64_t v[4], int rounds) {
  while (rounds-- > 0) {
    v[0] += v[1]; v[1] = rotl64(v[1], 13) ^ v[0]; v[0] = rotl64(v[0], 32);
    v[2] += v[3]; v[3] = rotl64(v[3], 16) ^ v[2];
    v[0] += v[3]; v[3] = rotl64(v[3], 21) ^ v[0];
    v[2] += v[1]; v[1] = rotl64(v[1], 17) ^ v[2]; v[2] = rotl64(v[2], 32);
  }
}

static words hash_serial(const uint8_t *key, const uint8_t serial[SERIAL]) {
  uint64_t k0 = le64(key), k1 = le64(key + 8);
  uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
  uint8_t block[8] = {serial[16], serial[17], serial[18], serial[19], 0, 0, 0, SERIAL};
  const uint64_t m[3] = {le64(serial), le64(serial + 8), le64(block)};
  words out;
  for (int i = 0; i < 3; i++) {
    v[3] ^= m[i];
    sip_rounds(v, 2);
    v[0] ^= m[i];
  }
  v[2] ^= 0xee;
  sip_rounds(v, 4);
  uint64_t first = v[0] ^ v[1] ^ v[2] ^ v[3];
  v[1] ^= 0xdd;
  sip_rounds(v, 4);
  uint64_t second = v[0] ^ v[1] ^ v[2] ^ v[3];
  out.x[0] = (uint32_t)first;
  out.x[1] = (uint32_t)(first >> 32);
  out.x[2] = (uint32_t)second;
  out.x[3] = (uint32_t)(second >> 32);
  return out;
}

/* The tables. */

static uint32_t mix(uint32_t h) {
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

static uint32_t cell(const uint8_t *at, uint64_t place, unsigned bits) {
  uint64_t first = place * bits;
  const uint8_t *octet = at + (size_t)(first >> 3);
  unsigned skipped = (unsigned)(first & 7);
  uint32_t value = (uint32_t)*octet >> skipped;
  for (unsigned had = 8 - skipped; had < bits; had += 8) value |= (uint32_t) * ++octet << had;
  return value & ((1u << bits) - 1);
}

static uint32_t look_up(const uint8_t *at, uint32_t seed, uint32_t segments, unsigned segment_bits, const words *w, unsigned bits) {
  uint32_t mask = (1u << segment_bits) - 1, value = 0;
  uint64_t segment = ((uint64_t)mix(w->x[0] ^ seed) * segments) >> 32;
  for (unsigned i = 0; i < 3; i++) value ^= cell(at, ((segment + i) << segment_bits) + (mix(w->x[i + 1] ^ seed) & mask), bits);
  return value;
}

static int marked(const frf_file *file, const words *w) {
  unsigned block_bits = (unsigned)be32(file->header + AT_BLOCK_BITS), bits = file->header[AT_FINGERPRINT_BITS];
  uint32_t number = block_bits == 0 ? 0 : mix(w->x[0] ^ w->x[1] ^ w->x[2] ^ w->x[3]) >> (32 - block_bits);
  const uint8_t *block = file->body + (size_t)number * BLOCK;
  uint32_t seed = be32(block + 8);
  if (be32(block + 20) == 0) return 0;
  if (bits > 0) {
    uint32_t wanted = mix(w->x[0] * 3 ^ w->x[1] * 5 ^ w->x[2] * 7 ^ w->x[3] * 9 ^ ~seed) & ((1u << bits) - 1);
    if (look_up(file->body + be32(block), seed, be32(block + 16), block[24], w, bits) != wanted) return 0;
  }
  return (int)look_up(file->body + be32(block + 4), be32(block + 12), be32(block + 20), block[25], w, 1);
}

static int inside(uint32_t at, uint32_t segments, unsigned segment_bits, unsigned bits, uint32_t least, uint32_t most) {
  if (segment_bits > MOST_SEGMENT_BITS || segments >= 0x80000000u) return 0;
  if (segments == 0) return 1;
  uint64_t cells = ((uint64_t)segments + 2) << segment_bits;
  if (cells >= 0x80000000u) return 0;
  return at >= least && (uint64_t)at + (cells * bits + 7) / 8 <= most;
}

static int tables_lie_inside(const frf_file *file) {
  unsigned bits = file->header[AT_FINGERPRINT_BITS];
  uint32_t count = (uint32_t)1 << be32(file->header + AT_BLOCK_BITS), least = count * BLOCK;
  if (file->body_octets < least) return 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *block = file->body + (size_t)i * BLOCK;
    uint32_t first = be32(block + 16), second = be32(block + 20);
    if (block[26] != 0 || block[27] != 0) return 0;
    if (!inside(be32(block), first, block[24], bits, least, file->body_octets)) return 0;
    if (!inside(be32(block + 4), second, block[25], 1, least, file->body_octets)) return 0;
    if (second > 0 && bits > 0 && first == 0) return 0;
  }
  return 1;
}

frf_error frf_open(frf_file *file, const uint8_t *octets, size_t count, const uint8_t ca[32], frf_verify verify, void *context) {
  uint8_t digest[32];
  memset(file, 0, sizeof *file);
  if (count < HEADER + 2) return FRF_CUT_OFF;
  if (memcmp(octets, "FRRF\x01", 5) != 0) return FRF_FORMAT;
  if (octets[AT_KIND] > 1 || octets[AT_ALGORITHM] == 0 || octets[AT_ALGORITHM] > ALGORITHMS || octets[AT_FINGERPRINT_BITS] > MOST_FINGERPRINT_BITS
      || be32(octets + AT_BLOCK_BITS) > MOST_BLOCK_BITS) return FRF_FORMAT;
  for (int at = AT_NUMBERS; at <= AT_BASE_COVERED_UNTIL; at += 8) if (be64(octets + at) > LARGEST_NUMBER) return FRF_FORMAT;
  if ((octets[AT_KIND] == 0) != (be64(octets + AT_BASE_VERSION) == 0) || be64(octets + AT_BASE_VERSION) >= be64(octets + AT_VERSION)) return FRF_FORMAT;
  if (memcmp(octets + AT_CA, ca, 32) != 0) return FRF_WRONG_CA;
  size_t signature = ((size_t)octets[HEADER] << 8) | octets[HEADER + 1];
  uint32_t body = be32(octets + AT_BODY_OCTETS);
  size_t rest = count - (HEADER + 2);
  if (rest < signature || rest - signature != body) return FRF_CUT_OFF;
  frf_sha256(octets, HEADER, file->header_sha256);
  if (verify(context, octets[AT_ALGORITHM], octets, HEADER, file->header_sha256, octets + HEADER + 2, signature) != 1) return FRF_SIGNATURE;
  file->header = octets;
  file->body = octets + HEADER + 2 + signature;
  file->body_octets = body;
  frf_sha256(file->body, body, digest);
  return memcmp(digest, octets + AT_BODY_SHA256, 32) == 0 && tables_lie_inside(file) ? FRF_OK : FRF_DAMAGED;
}

frf_error frf_match(const frf_file *full, const frf_file *delta) {
  const uint8_t *base = full->header, *change = delta->header;
  return base[AT_KIND] == 0 && change[AT_KIND] == 1 && memcmp(change + AT_BASE_VERSION, base + AT_VERSION, 8) == 0
                 && memcmp(change + AT_BASE_SHA256, full->header_sha256, 32) == 0
                 && memcmp(change + AT_BASE_COVERED_UNTIL, base + AT_COVERED_UNTIL, 8) == 0 && memcmp(change + AT_KEY, base + AT_KEY, 16) == 0
                 && memcmp(change + AT_CA, base + AT_CA, 32) == 0
             ? FRF_OK
             : FRF_BASE;
}

frf_answer frf_status(const frf_file *full, const frf_file *delta, const uint8_t issuer[32], const uint8_t *serial, size_t serial_octets,
                      int64_t not_before, int64_t now) {
  const uint8_t *header = delta != NULL ? delta->header : full->header;
  uint8_t padded[SERIAL] = {0};
  /* A delta alone says nothing. */
  if (full->header[AT_KIND] != 0) return FRF_NOT_COVERED;
  if (memcmp(issuer, header + AT_CA, 32) != 0) return FRF_OTHER_CA;
  if (now > (int64_t)be64(header + AT_NEXT_UPDATE)) return FRF_TOO_OLD;
  if (not_before > (int64_t)be64(header + AT_COVERED_UNTIL)) return FRF_NOT_COVERED;
  while (serial_octets > 0 && *serial == 0) {
    serial++;
    serial_octets--;
  }
  if (serial_octets > SERIAL) return FRF_NOT_COVERED;
  if (serial_octets > 0) memcpy(padded + (SERIAL - serial_octets), serial, serial_octets);
  words w = hash_serial(full->header + AT_KEY, padded);
  int before = not_before <= (int64_t)be64(full->header + AT_COVERED_UNTIL) && marked(full, &w);
  int changed = delta != NULL && marked(delta, &w);
  return before != changed ? FRF_REVOKED : FRF_NOT_REVOKED;
}

uint64_t frf_version(const frf_file *file) { return be64(file->header + AT_VERSION); }
