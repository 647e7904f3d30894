#include "api-server/http/rate.h"

#include <stdlib.h>
#include <string.h>

#include "common/id.h"

#define SETS 1024
#define WAYS 4

struct source {
	uint8_t key[17]; /* family and address; family 0: free */
	struct bucket bucket;
};

struct sources {
	uint64_t salt; /* a peer must not choose collisions */
	struct source table[SETS][WAYS];
};

static void
refill(struct bucket *b, int64_t rate, int64_t now_ms)
{
	int64_t passed = now_ms - b->at_ms;

	/* A second refills it whole; a clock that jumped back refills nothing. */
	if (passed >= 1000)
		b->used_milli = 0;
	else if (passed > 0)
		b->used_milli -= passed * rate;
	if (b->used_milli < 0)
		b->used_milli = 0;
	b->at_ms = now_ms;
}

bool
bucket_has(struct bucket *b, int64_t rate, int64_t now_ms)
{
	if (rate <= 0)
		return true;
	refill(b, rate, now_ms);
	return b->used_milli + 1000 <= rate * 1000;
}

bool
bucket_take(struct bucket *b, int64_t rate, int64_t now_ms)
{
	if (!bucket_has(b, rate, now_ms))
		return false;
	if (rate > 0)
		b->used_milli += 1000;
	return true;
}

struct sources *
sources_create(void)
{
	struct sources *s = calloc(1, sizeof(*s));

	if (s)
		id_random(&s->salt, sizeof(s->salt));
	return s;
}

void
sources_destroy(struct sources *s)
{
	free(s);
}

static void
source_key(const struct addr *a, uint8_t key[17])
{
	memset(key, 0, 17);
	key[0] = addr_family(a) == AF_INET6 ? 6 : 4;
	if (key[0] == 4)
		memcpy(key + 1, &a->v4.sin_addr, 4);
	else if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
		key[0] = 4;
		memcpy(key + 1, a->v6.sin6_addr.s6_addr + 12, 4);
	} else {
		memcpy(key + 1, &a->v6.sin6_addr, 8);
	}
}

/* FNV over a secret start: collisions cost an attacker nothing but his own entry. */
static struct source *
source_set(struct sources *s, const uint8_t key[17])
{
	uint64_t h = s->salt ^ 0xcbf29ce484222325u;

	for (int i = 0; i < 17; i++)
		h = (h ^ key[i]) * 0x100000001b3u;
	return s->table[(h >> 32) % SETS];
}

static struct source *
source_find(struct sources *s, const uint8_t key[17])
{
	struct source *set = source_set(s, key);

	for (int i = 0; i < WAYS; i++)
		if (!memcmp(set[i].key, key, 17))
			return &set[i];
	return NULL;
}

static struct source *
source_make(struct sources *s, const uint8_t key[17])
{
	struct source *set = source_set(s, key), *quiet = &set[0];

	for (int i = 1; i < WAYS; i++)
		if (set[i].bucket.at_ms < quiet->bucket.at_ms)
			quiet = &set[i];
	memcpy(quiet->key, key, 17);
	quiet->bucket = (struct bucket){ 0 };
	return quiet;
}

bool
sources_blocked(struct sources *s, const struct addr *from, int64_t rate, int64_t now_ms)
{
	uint8_t key[17];
	struct source *src;

	source_key(from, key);
	src = source_find(s, key);
	return src && !bucket_has(&src->bucket, rate, now_ms);
}

void
sources_failed(struct sources *s, const struct addr *from, int64_t rate, int64_t now_ms)
{
	uint8_t key[17];
	struct source *src;

	source_key(from, key);
	src = source_find(s, key);
	if (!src)
		src = source_make(s, key);
	if (!bucket_take(&src->bucket, rate, now_ms))
		src->bucket.at_ms = now_ms;
}
