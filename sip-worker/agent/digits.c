#include "sip-worker/agent/digits.h"

#include <string.h>

static bool
begins(const char *candidate, const char *keys, size_t len)
{
	return strncmp(candidate, keys, len) == 0;
}

/* Does any candidate begin with the keys and one more? */
static bool
wanted(const struct digits *d, char key, const char *const *candidates, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (begins(candidates[i], d->keys, d->len) && candidates[i][d->len] == key)
			return true;
	}
	return false;
}

void
digits_add(struct digits *d, char key, const char *const *candidates, size_t count)
{
	if (key == 0 || !strchr("0123456789*#ABCD", key) || d->len == DIGITS_MAX)
		return;
	if (key == '#' && !wanted(d, key, candidates, count)) {
		d->ended = d->len > 0;
		return;
	}
	d->keys[d->len++] = key;
	d->keys[d->len] = 0;
}

static void
drop(struct digits *d, size_t n, char *entered)
{
	memcpy(entered, d->keys, n);
	entered[n] = 0;
	memmove(d->keys, d->keys + n, d->len - n + 1);
	d->len -= n;
	d->ended = d->ended && d->len > 0;
}

enum digits_result
digits_take(struct digits *d, const char *const *candidates, size_t count, bool late, size_t *index,
	    char *entered)
{
	size_t best = 0;
	bool longer = false, exact = false;

	if (d->len == 0)
		return DIGITS_NONE;
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(candidates[i]);

		if (len > d->len && begins(candidates[i], d->keys, d->len))
			longer = true;
		if (len > best && len <= d->len && begins(candidates[i], d->keys, len)) {
			best = len;
			*index = i;
			exact = len == d->len;
		}
	}
	if (longer && !late && !d->ended)
		return DIGITS_WAIT;
	if (best > 0 && (exact || !d->ended)) {
		drop(d, best, entered);
		return DIGITS_MATCH;
	}
	drop(d, d->len, entered);
	return DIGITS_NO_MATCH;
}

void
digits_clear(struct digits *d)
{
	*d = (struct digits){ 0 };
}
