/* secret.h - a password in memory: no printf path, wiped when let go. */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include "common/base.h"

struct secret {
	char *text; /* NUL-terminated, malloced; NULL: none.  Read only to be sent. */
	size_t len;
};

MUST_USE bool secret_set(struct secret *s, const char *text, size_t len);
void secret_finish(struct secret *s); /* wipes; zeroed is fine */
/* For copies elsewhere: zeroes in a way the compiler keeps. */
void secret_wipe(void *p, size_t len);
/* Constant time for equal lengths; NULL-safe. */
bool secret_equal(const struct secret *s, const char *text, size_t len);

#endif
