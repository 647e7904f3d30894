/* id.h - identifiers nobody can guess (libsodium randomness). */
#ifndef COMMON_ID_H
#define COMMON_ID_H

#include "common/base.h"

#define ID_UUID_SIZE  37 /* with NUL */
#define ID_TOKEN_SIZE 33 /* 128 bits, hex, with NUL */

/* sodium_init(); call once at start, false: no randomness, do not go on. */
MUST_USE bool id_init(void);
const char *id_uuid(char out[ID_UUID_SIZE]);
const char *id_token(char out[ID_TOKEN_SIZE]);
void id_random(void *out, size_t len);
/* Lower-case hex of len bytes into out (2*len+1). */
const char *id_hex(char *out, const void *data, size_t len);

#define ID_DIGEST_SIZE 65
/* SHA-256 in hex: stands for a text that is too long to be kept. */
const char *id_digest(char out[ID_DIGEST_SIZE], const char *text);

#endif
