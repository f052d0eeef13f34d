/*
 * frf FULL DELTA|- ISSUER NOW HEADER...      answers each line `SERIAL NOTBEFORE` of its input by one word
 * frf fuzz FULL ISSUER HEADER ROUNDS SEED    mutates FULL; reads the serials and what the answers must be from its input
 *
 * ISSUER is the SHA-256 of the CA's SubjectPublicKeyInfo in hex. A program of this size checks no signature: HEADER... are
 * the SHA-256 of headers (in hex) whose signatures the caller has verified, and no others are accepted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetroot_filter.h"

enum { MOST = 1 << 26, LINES = 4096 };

static const char *const answers[] = {"", "revoked", "not-revoked", "not-covered", "too-old", "other-ca"};
static const char *const errors[] = {"ok", "cut-off", "format", "wrong-ca", "signature", "damaged", "base"};

typedef struct {
  int count;
  char **hex;
  int any;
} trusted;

static void to_hex(const uint8_t *octets, size_t count, char *hex) {
  for (size_t i = 0; i < count; i++) sprintf(hex + 2 * i, "%02x", octets[i]);
}

static int from_hex(const char *hex, uint8_t *octets, size_t most) {
  size_t count = strlen(hex) / 2;
  if (strlen(hex) % 2 != 0 || count > most) return -1;
  for (size_t i = 0; i < count; i++) {
    unsigned value;
    if (sscanf(hex + 2 * i, "%2x", &value) != 1) return -1;
    octets[i] = (uint8_t)value;
  }
  return (int)count;
}

static int verify(void *context, uint8_t algorithm, const uint8_t *octets, size_t count, const uint8_t sha256[32], const uint8_t *signature, size_t length) {
  const trusted *known = context;
  char hex[65];
  (void)algorithm, (void)octets, (void)count, (void)signature, (void)length;
  to_hex(sha256, 32, hex);
  for (int i = 0; i < known->count; i++) if (strcmp(hex, known->hex[i]) == 0) return 1;
  return known->any;
}

static uint8_t *read_file(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  uint8_t *octets = malloc(MOST);
  if (file == NULL || octets == NULL) exit(2);
  *count = fread(octets, 1, MOST, file);
  fclose(file);
  /* Of their own size, so that a look past the end is seen. */
  uint8_t *exact = malloc(*count > 0 ? *count : 1);
  if (exact == NULL) exit(2);
  memcpy(exact, octets, *count);
  free(octets);
  return exact;
}

static void require_ok(frf_error error) {
  if (error == FRF_OK) return;
  puts(errors[error]);
  exit(3);
}

static uint64_t state;
static uint32_t rnd(uint32_t below) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(((state >> 33) * below) >> 31);
}

typedef struct {
  uint8_t serial[20];
  int octets;
  int64_t not_before;
  frf_answer wanted;
} asked;

static void put32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* 1 where the file was accepted. */
static int one_round(const uint8_t *octets, size_t count, const uint8_t ca[32], trusted *known, const asked *lines, int n, int64_t now, int hostile, size_t body_at) {
  uint8_t *copy = malloc(count);
  size_t length = count;
  frf_file file;
  int accepted;
  if (copy == NULL) exit(2);
  memcpy(copy, octets, count);
  if (hostile) {
    /* As from whoever has the CA's key: the digest fits, the tables and sizes may be anything. */
    uint32_t changes = 1 + rnd(8);
    for (uint32_t i = 0; i < changes; i++) {
      size_t at = rnd(3) == 0 ? (size_t)(rnd(4) == 0 ? 4 : 128) + rnd(8) : body_at + rnd((uint32_t)(count - body_at > 64 && rnd(2) == 0 ? 56 : count - body_at));
      copy[at] = (uint8_t)(rnd(2) == 0 ? rnd(256) : copy[at] ^ (1u << rnd(8)));
    }
    if (rnd(4) == 0) length = body_at + rnd((uint32_t)(count - body_at + 1));
    put32(copy + 132, (uint32_t)(length - body_at));
    frf_sha256(copy + body_at, length - body_at, copy + 136);
  } else {
    uint32_t changes = rnd(6);
    for (uint32_t i = 0; i < changes; i++) copy[rnd((uint32_t)count)] ^= (uint8_t)(1 + rnd(255));
    if (rnd(3) == 0) length = rnd((uint32_t)count + 1);
  }
  uint8_t *exact = malloc(length > 0 ? length : 1);
  if (exact == NULL) exit(2);
  memcpy(exact, copy, length);
  free(copy);
  known->any = hostile;
  accepted = frf_open(&file, exact, length, ca, verify, known) == FRF_OK;
  if (accepted) {
    for (int i = 0; i < n; i++) {
      frf_answer answer = frf_status(&file, NULL, ca, lines[i].serial, (size_t)lines[i].octets, lines[i].not_before, now);
      if (!hostile && answer != lines[i].wanted) {
        printf("line %d: %s\n", i, answers[answer]);
        exit(4);
      }
    }
  }
  free(exact);
  return accepted;
}

static int fuzz(char **argv) {
  static asked lines[LINES];
  uint8_t ca[32];
  size_t count;
  int n = 0, accepted = 0, kept = 0;
  char hex[64], word[16];
  trusted known = {1, argv + 4, 0};
  uint8_t *octets = read_file(argv[2], &count);
  long rounds = strtol(argv[5], NULL, 10);
  state = strtoull(argv[6], NULL, 10);
  if (from_hex(argv[3], ca, 32) != 32 || count < 202) return 2;
  size_t body_at = 202 + ((size_t)octets[200] << 8 | octets[201]);
  while (n < LINES && scanf("%40s %" SCNd64 " %15s", hex, &lines[n].not_before, word) == 3) {
    lines[n].octets = from_hex(hex, lines[n].serial, 20);
    for (int i = 1; i <= 5; i++) if (strcmp(answers[i], word) == 0) lines[n].wanted = (frf_answer)i;
    n++;
  }
  for (long i = 0; i < rounds; i++) {
    kept += one_round(octets, count, ca, &known, lines, n, 0, 0, body_at);
    accepted += one_round(octets, count, ca, &known, lines, n, 0, 1, body_at);
  }
  printf("%d of %ld mutated files accepted as they were, %d hostile ones\n", kept, rounds, accepted);
  free(octets);
  return 0;
}

int main(int argc, char **argv) {
  uint8_t ca[32], serial[64];
  char hex[130];
  frf_file full, delta;
  size_t count, delta_count = 0;
  int64_t not_before, now;
  uint8_t *delta_octets = NULL;
  if (argc == 7 && strcmp(argv[1], "fuzz") == 0) return fuzz(argv);
  if (argc < 5) return 2;
  trusted known = {argc - 5, argv + 5, 0};
  if (from_hex(argv[3], ca, 32) != 32) return 2;
  now = strtoll(argv[4], NULL, 10);
  uint8_t *octets = read_file(argv[1], &count);
  int with_delta = strcmp(argv[2], "-") != 0;
  require_ok(frf_open(&full, octets, count, ca, verify, &known));
  if (with_delta) {
    delta_octets = read_file(argv[2], &delta_count);
    require_ok(frf_open(&delta, delta_octets, delta_count, ca, verify, &known));
    require_ok(frf_match(&full, &delta));
  }
  while (scanf("%128s %" SCNd64, hex, &not_before) == 2) {
    int octets_of_serial = from_hex(hex, serial, sizeof serial);
    if (octets_of_serial < 0) return 2;
    puts(answers[frf_status(&full, with_delta ? &delta : NULL, ca, serial, (size_t)octets_of_serial, not_before, now)]);
  }
  free(octets);
  free(delta_octets);
  return 0;
}
