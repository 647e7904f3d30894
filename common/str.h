/* str.h - bounded text: fixed copies that report truncation, and a growing buffer that has a
 * maximum from birth. */
#ifndef COMMON_STR_H
#define COMMON_STR_H

#include <stdarg.h>

#include "common/base.h"
#include "common/err.h"

/* Copies with NUL; false (and a truncated copy) if src does not fit. NULL src is "". */
bool str_copy(char *dst, size_t size, const char *src);
/* snprintf that says whether all of it fit. */
PRINTF(3, 4) bool str_print(char *dst, size_t size, const char *fmt, ...);
bool str_eq(const char *a, const char *b); /* NULL equals NULL */
bool str_eq_nocase(const char *a, const char *b);
bool str_starts(const char *s, const char *prefix);
bool str_starts_nocase(const char *s, const char *prefix);
/* Whole string, base 10, in range; false otherwise. */
bool str_to_int64(const char *s, int64_t min, int64_t max, int64_t *out);
/* Is it UTF-8 without NUL; `len` bytes. */
bool str_is_utf8(const char *s, size_t len);
/* Any byte < 0x20 or 0x7f. */
bool str_has_control(const char *s);

/* Growing buffer.  Always NUL-terminated in data (len does not count it).  A failed append sets
 * `failed` and leaves the content; check once at the end. */
struct buf {
	char *data;
	size_t len, cap, max;
	bool failed;
};

void buf_init(struct buf *b, size_t max); /* max: bytes, above it appends fail */
void buf_finish(struct buf *b);           /* frees; zeroed is fine */
void buf_reset(struct buf *b);            /* keeps the memory */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
PRINTF(2, 3) void buf_printf(struct buf *b, const char *fmt, ...);
/* Hands the text over (free() it), leaving b empty; NULL if b->failed. */
char *buf_take(struct buf *b);

#endif
