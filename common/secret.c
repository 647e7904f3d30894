#include "common/secret.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

bool
secret_set(struct secret *s, const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return false;
	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	secret_finish(s);
	s->text = copy;
	s->len = len;
	return true;
}

void
secret_finish(struct secret *s)
{
	if (s->text) {
		sodium_memzero(s->text, s->len);
		free(s->text);
	}
	*s = (struct secret){ 0 };
}

void
secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}

bool
secret_equal(const struct secret *s, const char *text, size_t len)
{
	if (!s || !s->text || !text || s->len != len)
		return false;
	return sodium_memcmp(s->text, text, len) == 0;
}
