/* secret.h - a password in memory: no printf path, wiped when let go. */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include "common/base.h"

struct secret {
	char *text; /* NUL-terminated, malloced; NULL: none.  Only the code that must send it reads it. */
	size_t len;
};

MUST_USE bool secret_set(struct secret *s, const char *text, size_t len);
void secret_finish(struct secret *s); /* wipes; zeroed is fine */
/* Constant time for equal lengths; NULL-safe. */
bool secret_equal(const struct secret *s, const char *text, size_t len);

#endif
