#include "sip-worker/sip/rate.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"

#define WAYS 4
#define SETS 2048 /* a power of two */

struct bucket {
	uint8_t ip[16];
	int64_t used_ms; /* 0: empty slot */
	int64_t trusted_until_ms;
	int64_t refilled_ms;
	int tokens;
};

struct rate {
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct bucket sets[SETS][WAYS];
};

struct rate *
rate_create(void)
{
	struct rate *r = calloc(1, sizeof *r);

	if (r)
		id_random(r->key, sizeof r->key);
	return r;
}

void
rate_destroy(struct rate *r)
{
	free(r);
}

static void
key_of(const struct addr *source, uint8_t ip[16])
{
	memset(ip, 0, 16);
	if (addr_family(source) == AF_INET) {
		ip[0] = 4;
		memcpy(ip + 12, &source->v4.sin_addr, 4);
	} else if (IN6_IS_ADDR_V4MAPPED(&source->v6.sin6_addr)) {
		ip[0] = 4;
		memcpy(ip + 12, source->v6.sin6_addr.s6_addr + 12, 4);
	} else {
		ip[0] = 6;
		memcpy(ip + 8, source->v6.sin6_addr.s6_addr, 8);
	}
}

static size_t
set_of(const struct rate *r, const uint8_t ip[16])
{
	uint8_t sum[crypto_shorthash_BYTES];
	uint32_t n;

	crypto_shorthash(sum, ip, 16, r->key);
	memcpy(&n, sum, sizeof n);
	return n & (SETS - 1);
}

static const struct bucket *
find(const struct rate *r, const uint8_t ip[16])
{
	const struct bucket *set = r->sets[set_of(r, ip)];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].used_ms && memcmp(set[i].ip, ip, 16) == 0)
			return &set[i];
	return NULL;
}

static struct bucket *
get(struct rate *r, const uint8_t ip[16], int64_t now_ms)
{
	struct bucket *set = r->sets[set_of(r, ip)], *oldest = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].used_ms && memcmp(set[i].ip, ip, 16) == 0)
			return &set[i];
		/* A trusted source outlives strangers. */
		if (set[i].trusted_until_ms <= now_ms &&
		    (oldest->trusted_until_ms > now_ms || set[i].used_ms < oldest->used_ms))
			oldest = &set[i];
	}
	*oldest = (struct bucket){ .refilled_ms = now_ms, .tokens = RATE_BURST };
	memcpy(oldest->ip, ip, 16);
	return oldest;
}

bool
rate_take(struct rate *r, const struct addr *source, int64_t now_ms)
{
	uint8_t ip[16];
	struct bucket *b;
	int64_t refill;

	key_of(source, ip);
	b = get(r, ip, now_ms);
	b->used_ms = now_ms + 1;
	if (b->trusted_until_ms > now_ms)
		return true;
	refill = (now_ms - b->refilled_ms) / RATE_REFILL_MS;
	if (refill > 0) {
		b->tokens = refill + b->tokens > RATE_BURST ? RATE_BURST : b->tokens + (int)refill;
		b->refilled_ms += refill * RATE_REFILL_MS;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

void
rate_trust(struct rate *r, const struct addr *source, int64_t now_ms)
{
	uint8_t ip[16];
	struct bucket *b;

	key_of(source, ip);
	b = get(r, ip, now_ms);
	b->used_ms = now_ms + 1;
	b->trusted_until_ms = now_ms + RATE_TRUST_MS;
}

bool
rate_is_trusted(const struct rate *r, const struct addr *source, int64_t now_ms)
{
	uint8_t ip[16];
	const struct bucket *b;

	key_of(source, ip);
	b = find(r, ip);
	return b && b->trusted_until_ms > now_ms;
}
