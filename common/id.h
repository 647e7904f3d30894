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

#endif
