#include "api-server/http/auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/map.h"
#include "common/str.h"

#define BASIC_MAX 512

struct auth {
	uint8_t hash_key[crypto_generichash_KEYBYTES];
	struct map *by_id; /* id -> first struct auth_key */
	struct auth_key *keys;
	size_t count;
	struct auth_key nobody; /* what an unknown id is compared with */
};

static void
hash_secret(const struct auth *a, const char *secret, size_t len, uint8_t out[AUTH_HASH_SIZE])
{
	crypto_generichash(out, AUTH_HASH_SIZE, (const unsigned char *)secret, len, a->hash_key,
			   sizeof(a->hash_key));
}

static bool
add_key(struct auth *a, const char *id, const struct secret *secret, const char *account)
{
	struct auth_key *k = &a->keys[a->count++], *first = map_find(a->by_id, id);

	hash_secret(a, secret->text ? secret->text : "", secret->len, k->hash);
	k->operator_key = !account;
	if (account && !str_copy(k->account, sizeof(k->account), account))
		return false;
	k->bucket_of = first ? first : k;
	if (!first)
		return map_put(a->by_id, id, k);
	k->next = first->next;
	first->next = k;
	return true;
}

static bool
add_all(struct auth *a, const struct config *cfg)
{
	for (size_t i = 0; i < cfg->account_count; i++) {
		const struct account *acc = &cfg->accounts[i];

		for (size_t j = 0; j < acc->api_key_count; j++)
			if (!add_key(a, acc->api_keys[j].id, &acc->api_keys[j].secret, acc->name))
				return false;
	}
	for (size_t i = 0; i < cfg->operator_count; i++)
		if (!add_key(a, cfg->operators[i].id, &cfg->operators[i].secret, NULL))
			return false;
	return true;
}

struct auth *
auth_create(const struct config *cfg)
{
	struct auth *a = calloc(1, sizeof(*a));
	size_t count = cfg->operator_count;

	if (!a)
		return NULL;
	for (size_t i = 0; i < cfg->account_count; i++)
		count += cfg->accounts[i].api_key_count;
	id_random(a->hash_key, sizeof(a->hash_key));
	id_random(a->nobody.hash, sizeof(a->nobody.hash));
	a->keys = calloc(count ? count : 1, sizeof(*a->keys));
	a->by_id = map_create();
	if (a->keys && a->by_id && add_all(a, cfg))
		return a;
	auth_destroy(a);
	return NULL;
}

void
auth_destroy(struct auth *a)
{
	if (!a)
		return;
	if (a->by_id)
		map_destroy(a->by_id);
	free(a->keys);
	sodium_memzero(a->hash_key, sizeof(a->hash_key));
	free(a);
}

struct auth_key *
auth_check(struct auth *a, const char *id, const char *secret)
{
	struct auth_key *k = id ? map_find(a->by_id, id) : NULL, *found = NULL;
	uint8_t hash[AUTH_HASH_SIZE];

	if (!secret)
		secret = "";
	hash_secret(a, secret, strlen(secret), hash);
	if (!k)
		k = &a->nobody;
	for (; k; k = k->next)
		if (!sodium_memcmp(k->hash, hash, sizeof(hash)))
			found = k;
	return found == &a->nobody || !*secret ? NULL : found;
}

struct auth_key *
auth_check_basic(struct auth *a, const char *header)
{
	char text[BASIC_MAX], *colon;
	struct auth_key *k;
	size_t len;

	if (!header || !str_starts_nocase(header, "Basic "))
		return NULL;
	header += strlen("Basic ");
	if (sodium_base642bin((unsigned char *)text, sizeof(text) - 1, header, strlen(header), NULL,
			      &len, NULL, sodium_base64_VARIANT_ORIGINAL))
		return NULL;
	text[len] = '\0';
	colon = strchr(text, ':');
	if (!colon || strlen(text) != len)
		return NULL;
	*colon = '\0';
	k = auth_check(a, text, colon + 1);
	sodium_memzero(text, sizeof(text));
	return k;
}
