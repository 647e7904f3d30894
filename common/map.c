#include "common/map.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *next;
	void *value;
	uint64_t hash;
	char key[];
};

/* Chains rather than open addressing: an entry never moves, so map_each may remove. */
struct map {
	struct entry **buckets;
	size_t size; /* a power of two */
	size_t count;
	unsigned char seed[crypto_shorthash_KEYBYTES];
};

#define MAP_MIN_SIZE 16

static uint64_t
hash_of(const struct map *m, const char *key, size_t len)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t h;

	static_assert(sizeof(out) == sizeof(h), "SipHash gives 64 bits");
	(void)crypto_shorthash(out, (const unsigned char *)key, len, m->seed);
	memcpy(&h, out, sizeof(h));
	return h;
}

struct map *
map_create(void)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->buckets = calloc(MAP_MIN_SIZE, sizeof(struct entry *));
	if (!m->buckets) {
		free(m);
		return NULL;
	}
	m->size = MAP_MIN_SIZE;
	randombytes_buf(m->seed, sizeof(m->seed));
	return m;
}

void
map_destroy(struct map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->size; i++) {
		for (struct entry *e = m->buckets[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	}
	free(m->buckets);
	free(m);
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

/* The link that points to the key's entry, or the one at which its chain ends. */
static struct entry **
link_of(const struct map *m, const char *key, uint64_t hash)
{
	struct entry **at = &m->buckets[hash & (m->size - 1)];

	while (*at && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
		at = &(*at)->next;
	return at;
}

void *
map_find(const struct map *m, const char *key)
{
	struct entry *e = *link_of(m, key, hash_of(m, key, strlen(key)));

	return e ? e->value : NULL;
}

/* No memory for a wider table is no failure: the chains just get longer. */
static void
grow(struct map *m)
{
	struct entry **wider = calloc(m->size * 2, sizeof(struct entry *));
	size_t mask = m->size * 2 - 1;

	if (!wider)
		return;
	for (size_t i = 0; i < m->size; i++) {
		for (struct entry *e = m->buckets[i], *next; e; e = next) {
			next = e->next;
			e->next = wider[e->hash & mask];
			wider[e->hash & mask] = e;
		}
	}
	free(m->buckets);
	m->buckets = wider;
	m->size = mask + 1;
}

bool
map_put(struct map *m, const char *key, void *value)
{
	size_t len = strlen(key);
	uint64_t hash = hash_of(m, key, len);
	struct entry **at = link_of(m, key, hash);
	struct entry *e = *at;

	assert(value);
	if (e) {
		e->value = value;
		return true;
	}
	e = malloc(sizeof(*e) + len + 1);
	if (!e)
		return false;
	*e = (struct entry){ .value = value, .hash = hash };
	memcpy(e->key, key, len + 1);
	*at = e;
	if (++m->count > m->size)
		grow(m);
	return true;
}

void *
map_remove(struct map *m, const char *key)
{
	struct entry **at = link_of(m, key, hash_of(m, key, strlen(key)));
	struct entry *e = *at;
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	*at = e->next;
	free(e);
	m->count--;
	return value;
}

void
map_each(struct map *m, bool (*fn)(const char *key, void *value, void *arg), void *arg)
{
	for (size_t i = 0; i < m->size; i++) {
		for (struct entry *e = m->buckets[i], *next; e; e = next) {
			next = e->next;
			if (!fn(e->key, e->value, arg))
				return;
		}
	}
}
