#include "sip-worker/sip/digest.h"

#include <inttypes.h>
#include <sodium.h>
#include <sofia-sip/su_md5.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/str.h"

#define MAC_LEN    16
#define COUNT_WAYS 8
#define COUNT_SETS 4096 /* a power of two; 32768 nonces in use within their life */

struct count {
	uint8_t mac[MAC_LEN];
	uint32_t nc;
	uint32_t born_s;
};

struct digest {
	char realm[DIGEST_FIELD_MAX];
	uint8_t key[crypto_generichash_KEYBYTES];
	uint64_t serial;
	struct count counts[COUNT_SETS][COUNT_WAYS];
};

struct nonce {
	uint32_t born_s;
	uint64_t serial;
	uint8_t mac[MAC_LEN];
};

const char *
digest_alg_name(enum digest_alg alg)
{
	return alg == DIGEST_SHA256 ? "SHA-256" : "MD5";
}

struct digest *
digest_create(const char *realm)
{
	struct digest *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	str_copy(d->realm, sizeof d->realm, realm);
	id_random(d->key, sizeof d->key);
	return d;
}

void
digest_destroy(struct digest *d)
{
	if (d)
		sodium_memzero(d->key, sizeof d->key);
	free(d);
}

/* --- hashes over pieces joined by colons --- */

struct hash {
	enum digest_alg alg;
	su_md5_t md5;
	crypto_hash_sha256_state sha;
};

static void
hash_init(struct hash *h, enum digest_alg alg)
{
	h->alg = alg;
	if (alg == DIGEST_SHA256)
		crypto_hash_sha256_init(&h->sha);
	else
		su_md5_init(&h->md5);
}

static void
hash_add(struct hash *h, const void *data, size_t len)
{
	if (h->alg == DIGEST_SHA256)
		crypto_hash_sha256_update(&h->sha, data, len);
	else
		su_md5_update(&h->md5, data, len);
}

static void
hash_add_str(struct hash *h, const char *s)
{
	hash_add(h, s, strlen(s));
}

static void
hash_hex(struct hash *h, char out[65])
{
	uint8_t sum[32];

	if (h->alg == DIGEST_SHA256) {
		crypto_hash_sha256_final(&h->sha, sum);
		id_hex(out, sum, 32);
	} else {
		su_md5_digest(&h->md5, sum);
		su_md5_deinit(&h->md5);
		id_hex(out, sum, 16);
	}
	sodium_memzero(sum, sizeof sum);
}

void
digest_compute(const struct digest_response *r, const char *password, size_t password_len,
	       const char *method, char out[65])
{
	struct hash h;
	char ha1[65], ha2[65];

	hash_init(&h, r->algorithm);
	hash_add_str(&h, r->username);
	hash_add(&h, ":", 1);
	hash_add_str(&h, r->realm);
	hash_add(&h, ":", 1);
	hash_add(&h, password, password_len);
	hash_hex(&h, ha1);

	hash_init(&h, r->algorithm);
	hash_add_str(&h, method);
	hash_add(&h, ":", 1);
	hash_add_str(&h, r->uri);
	hash_hex(&h, ha2);

	const char *parts[] = { ha1,       ":", r->nonce, ":", r->nc, ":",
				r->cnonce, ":", r->qop,   ":", ha2 };

	hash_init(&h, r->algorithm);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hash_add_str(&h, parts[i]);
	hash_hex(&h, out);
	sodium_memzero(ha1, sizeof ha1);
	sodium_memzero(&h, sizeof h);
}

/* --- nonces --- */

static void
nonce_mac(const struct digest *d, const struct nonce *n, const struct addr *source,
	  uint8_t out[MAC_LEN])
{
	crypto_generichash_state st;
	char host[ADDR_TEXT_SIZE];

	addr_host(source, host);
	crypto_generichash_init(&st, d->key, sizeof d->key, MAC_LEN);
	crypto_generichash_update(&st, (const uint8_t *)&n->born_s, sizeof n->born_s);
	crypto_generichash_update(&st, (const uint8_t *)&n->serial, sizeof n->serial);
	crypto_generichash_update(&st, (const uint8_t *)host, strlen(host));
	crypto_generichash_update(&st, (const uint8_t *)d->realm, strlen(d->realm));
	crypto_generichash_final(&st, out, MAC_LEN);
}

void
digest_nonce(struct digest *d, const struct addr *source, int64_t now_s,
	     char out[DIGEST_NONCE_SIZE])
{
	struct nonce n = { .born_s = (uint32_t)now_s, .serial = ++d->serial };
	uint8_t raw[4 + 8 + MAC_LEN];

	nonce_mac(d, &n, source, n.mac);
	memcpy(raw, &n.born_s, 4);
	memcpy(raw + 4, &n.serial, 8);
	memcpy(raw + 12, n.mac, MAC_LEN);
	id_hex(out, raw, sizeof raw);
}

static bool
nonce_read(const struct digest *d, const char *text, const struct addr *source, struct nonce *n)
{
	uint8_t raw[4 + 8 + MAC_LEN], mac[MAC_LEN];
	size_t len;

	if (strlen(text) != sizeof raw * 2 ||
	    sodium_hex2bin(raw, sizeof raw, text, sizeof raw * 2, NULL, &len, NULL) != 0 ||
	    len != sizeof raw)
		return false;
	memcpy(&n->born_s, raw, 4);
	memcpy(&n->serial, raw + 4, 8);
	memcpy(n->mac, raw + 12, MAC_LEN);
	nonce_mac(d, n, source, mac);
	return sodium_memcmp(mac, n->mac, MAC_LEN) == 0;
}

/* The nonce authenticated; is its count new?  A full set makes it stale, so that nothing that is
 * still alive is ever forgotten. */
static bool
commit_count(struct digest *d, const struct nonce *n, uint32_t nc, uint32_t now_s)
{
	struct count *set, *room = NULL;
	size_t index;

	memcpy(&index, n->mac, sizeof index);
	set = d->counts[index & (COUNT_SETS - 1)];
	for (size_t i = 0; i < COUNT_WAYS; i++) {
		bool live = set[i].nc && now_s - set[i].born_s <= DIGEST_NONCE_TTL_S;

		if (live && memcmp(set[i].mac, n->mac, MAC_LEN) == 0) {
			if (nc <= set[i].nc)
				return false;
			set[i].nc = nc;
			return true;
		}
		if (!live)
			room = &set[i];
	}
	if (!room)
		return false;
	memcpy(room->mac, n->mac, MAC_LEN);
	room->nc = nc;
	room->born_s = n->born_s;
	return true;
}

static bool
read_nc(const char *text, uint32_t *out)
{
	char *end;
	unsigned long n;

	if (strlen(text) != 8 || strspn(text, "0123456789abcdefABCDEF") != 8)
		return false;
	n = strtoul(text, &end, 16);
	*out = (uint32_t)n;
	return n > 0;
}

enum digest_verdict
digest_check(struct digest *d, const struct digest_response *r, const struct sip_user *user,
	     const char *method, const struct addr *source, int64_t now_s)
{
	char expected[65], given[65] = "";
	struct nonce n;
	uint32_t nc = 0, now = (uint32_t)now_s;
	bool right;

	/* An unknown user costs what a known one costs. */
	digest_compute(r, user ? user->password.text : "-", user ? user->password.len : 1, method,
		       expected);
	str_copy(given, sizeof given, r->response);
	right = sodium_memcmp(expected, given, strlen(expected)) == 0;
	right = right && strlen(given) == strlen(expected);
	right = right && user && strcmp(user->username, r->username) == 0;
	right = right && strcmp(r->realm, d->realm) == 0 && read_nc(r->nc, &nc);
	if (!nonce_read(d, r->nonce, source, &n) || !right)
		return DIGEST_WRONG;
	if (now - n.born_s > DIGEST_NONCE_TTL_S || !commit_count(d, &n, nc, now))
		return DIGEST_STALE;
	return DIGEST_OK;
}
