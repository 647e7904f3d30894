#include "common/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool
str_copy(char *dst, size_t size, const char *src)
{
	size_t len;

	if (size == 0)
		return false;
	if (!src)
		src = "";
	len = strnlen(src, size);
	if (len == size) {
		memcpy(dst, src, size - 1);
		dst[size - 1] = '\0';
		return false;
	}
	memcpy(dst, src, len + 1);
	return true;
}

bool
str_print(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	if (n < 0 && size > 0)
		dst[0] = '\0';
	return n >= 0 && (size_t)n < size;
}

bool
str_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool
str_eq_nocase(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcasecmp(a, b) == 0;
}

bool
str_starts(const char *s, const char *prefix)
{
	return s && prefix && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool
str_starts_nocase(const char *s, const char *prefix)
{
	return s && prefix && strncasecmp(s, prefix, strlen(prefix)) == 0;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
str_to_int64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	long long v;
	char *end;
	int saved = errno;
	bool overflow;

	/* strtoll alone would take blanks, '+' and an empty string. */
	if (!s || !is_digit(s[*s == '-']))
		return false;
	errno = 0;
	v = strtoll(s, &end, 10);
	overflow = errno == ERANGE;
	errno = saved;
	if (overflow || *end != '\0' || v < min || v > max)
		return false;
	*out = v;
	return true;
}

/* Length of the sequence that starts with c, 0 if none does; *min: smallest code point allowed. */
static size_t
utf8_len(unsigned char c, uint32_t *min, uint32_t *cp)
{
	if (c < 0x80) {
		*min = 1; /* no NUL */
		*cp = c;
		return 1;
	}
	if (c >= 0xc2 && c <= 0xdf) {
		*min = 0x80;
		*cp = c & 0x1f;
		return 2;
	}
	if ((c & 0xf0) == 0xe0) {
		*min = 0x800;
		*cp = c & 0x0f;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		*min = 0x10000;
		*cp = c & 0x07;
		return 4;
	}
	return 0;
}

bool
str_is_utf8(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < len;) {
		uint32_t min, cp;
		size_t n = utf8_len(p[i], &min, &cp);

		if (n == 0 || n > len - i)
			return false;
		for (size_t k = 1; k < n; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
			cp = cp << 6 | (p[i + k] & 0x3f);
		}
		if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
			return false;
		i += n;
	}
	return true;
}

bool
str_has_control(const char *s)
{
	for (; s && *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	}
	return false;
}

/* What data points to while nothing is allocated: never written. */
static char no_text[1];

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .data = no_text, .max = max };
}

void
buf_finish(struct buf *b)
{
	if (b->cap > 0)
		free(b->data);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->cap > 0)
		b->data[0] = '\0';
}

/* Room for extra more bytes and the NUL. */
static bool
reserve(struct buf *b, size_t extra)
{
	size_t need, cap;
	char *data;

	if (b->failed || b->len > b->max || extra > b->max - b->len)
		goto fail;
	need = b->len + extra + 1;
	if (need <= b->cap)
		return true;
	cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap = cap <= SIZE_MAX / 2 ? cap * 2 : need;
	if (cap > b->max + 1)
		cap = b->max + 1;
	data = realloc(b->cap ? b->data : NULL, cap);
	if (!data)
		goto fail;
	data[b->len] = '\0';
	b->data = data;
	b->cap = cap;
	return true;
fail:
	b->failed = true;
	return false;
}

void
buf_add(struct buf *b, const void *data, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, s ? strlen(s) : 0);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (!reserve(b, (size_t)n))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

char *
buf_take(struct buf *b)
{
	char *text = NULL;

	if (reserve(b, 0)) {
		text = b->data;
		b->cap = 0;
	}
	buf_finish(b);
	return text;
}
