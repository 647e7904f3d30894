#include "sip-worker/sip/digest_client.h"

#include <inttypes.h>
#include <sodium.h>
#include <sofia-sip/su_md5.h>
#include <string.h>
#include <strings.h>

#include "common/id.h"
#include "sip-worker/sip/digest.h"

/* --- challenges --- */

enum { C_REALM, C_NONCE, C_OPAQUE, C_ALGORITHM, C_QOP, C_STALE, C_COUNT };

static const char *const names[C_COUNT] = {
	[C_REALM] = "realm",         [C_NONCE] = "nonce", [C_OPAQUE] = "opaque",
	[C_ALGORITHM] = "algorithm", [C_QOP] = "qop",     [C_STALE] = "stale",
};

/* Where a parameter goes. */
struct slot {
	char *at;
	size_t size;
};

static int
find_name(const char *name, size_t len)
{
	for (int i = 0; i < C_COUNT; i++)
		if (strlen(names[i]) == len && strncasecmp(name, names[i], len) == 0)
			return i;
	return -1;
}

/* One name=value; NULL: malformed, or a known name a second time. */
static const char *
read_parameter(const char *p, const struct slot slots[C_COUNT], unsigned *seen)
{
	char ignored[1024];
	size_t len = strcspn(p, "= \t,\"");
	int which = find_name(p, len);
	struct slot to = which < 0 ? (struct slot){ ignored, sizeof ignored } : slots[which];

	p += len;
	p += strspn(p, " \t");
	if (len == 0 || *p != '=' || (which >= 0 && (*seen & 1u << which)))
		return NULL;
	if (which >= 0)
		*seen |= 1u << which;
	p++;
	return digest_read_value(p + strspn(p, " \t"), to.at, to.size);
}

/* Is the word one of a list separated by commas? */
static bool
has_word(const char *list, const char *word)
{
	size_t wanted = strlen(word);

	while (*list) {
		size_t len;

		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (len == wanted && strncasecmp(list, word, len) == 0)
			return true;
		list += len;
	}
	return false;
}

static bool
read_algorithm(const char *text, enum digest_alg *out)
{
	if (str_eq_nocase(text, "MD5"))
		*out = DIGEST_MD5;
	else if (str_eq_nocase(text, "SHA-256"))
		*out = DIGEST_SHA256;
	else
		return false;
	return true;
}

bool
digest_challenge_parse(const char *text, struct digest_challenge *out)
{
	char algorithm[32] = "MD5", qop[64] = "", stale[16] = "";
	const struct slot slots[C_COUNT] = {
		[C_REALM] = { out->realm, sizeof out->realm },
		[C_NONCE] = { out->nonce, sizeof out->nonce },
		[C_OPAQUE] = { out->opaque, sizeof out->opaque },
		[C_ALGORITHM] = { algorithm, sizeof algorithm },
		[C_QOP] = { qop, sizeof qop },
		[C_STALE] = { stale, sizeof stale },
	};
	const char *p = text + strspn(text, ", \t");
	unsigned seen = 0;

	*out = (struct digest_challenge){ 0 };
	while (*p) {
		p = read_parameter(p, slots, &seen);
		if (!p)
			return false;
		p += strspn(p, " \t\r\n");
		if (*p && *p != ',')
			return false;
		p += strspn(p, ", \t\r\n");
	}
	out->algorithm_given = seen & 1u << C_ALGORITHM;
	out->opaque_given = seen & 1u << C_OPAQUE;
	out->qop_auth = has_word(qop, "auth");
	out->stale = str_eq_nocase(stale, "true");
	return (seen & 1u << C_REALM) && out->nonce[0] &&
	       read_algorithm(algorithm, &out->algorithm) &&
	       (out->qop_auth || !(seen & 1u << C_QOP)) && !str_has_control(out->realm) &&
	       !str_has_control(out->nonce) && !str_has_control(out->opaque);
}

bool
digest_login_fits(const struct digest_login *login, const struct digest_challenge *c)
{
	return login->username && login->username[0] && login->password &&
	       (!login->realm || !login->realm[0] || strcmp(login->realm, c->realm) == 0);
}

/* --- answers --- */

/* Hex of the hash over the pieces joined by colons. */
static void
hash_joined(enum digest_alg alg, const char *const *pieces, size_t count, char out[65])
{
	crypto_hash_sha256_state sha;
	su_md5_t md5;
	uint8_t sum[32];

	crypto_hash_sha256_init(&sha);
	su_md5_init(&md5);
	for (size_t i = 0; i < 2 * count - 1; i++) {
		const char *piece = i % 2 ? ":" : pieces[i / 2];

		if (alg == DIGEST_SHA256)
			crypto_hash_sha256_update(&sha, (const uint8_t *)piece, strlen(piece));
		else
			su_md5_update(&md5, piece, strlen(piece));
	}
	if (alg == DIGEST_SHA256)
		crypto_hash_sha256_final(&sha, sum);
	else
		su_md5_digest(&md5, sum);
	id_hex(out, sum, alg == DIGEST_SHA256 ? 32 : 16);
	su_md5_deinit(&md5);
	sodium_memzero(&sha, sizeof sha);
	sodium_memzero(sum, sizeof sum);
}

static void
add_quoted(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s=\"", name);
	for (const char *p = value; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_add(out, "\\", 1);
		buf_add(out, p, 1);
	}
	buf_add(out, "\"", 1);
}

void
digest_answer(struct buf *out, const struct digest_challenge *c, const struct digest_login *login,
	      const struct digest_use *use)
{
	const char *const a1[] = { login->username, c->realm, login->password };
	const char *const a2[] = { use->method, use->uri };
	char ha1[65], ha2[65], response[65], nc[9];
	const char *const with_qop[] = { ha1, c->nonce, nc, use->cnonce, "auth", ha2 };
	const char *const without[] = { ha1, c->nonce, ha2 };

	str_print(nc, sizeof nc, "%08" PRIx32, use->nc);
	hash_joined(c->algorithm, a1, ARRAY_LEN(a1), ha1);
	hash_joined(c->algorithm, a2, ARRAY_LEN(a2), ha2);
	if (c->qop_auth)
		hash_joined(c->algorithm, with_qop, ARRAY_LEN(with_qop), response);
	else
		hash_joined(c->algorithm, without, ARRAY_LEN(without), response);
	sodium_memzero(ha1, sizeof ha1);

	add_quoted(out, "Digest username", login->username);
	add_quoted(out, ", realm", c->realm);
	add_quoted(out, ", nonce", c->nonce);
	add_quoted(out, ", uri", use->uri);
	buf_printf(out, ", response=\"%s\"", response);
	if (c->algorithm_given)
		buf_printf(out, ", algorithm=%s", digest_alg_name(c->algorithm));
	if (c->opaque_given)
		add_quoted(out, ", opaque", c->opaque);
	if (c->qop_auth) {
		add_quoted(out, ", cnonce", use->cnonce);
		buf_printf(out, ", qop=auth, nc=%s", nc);
	}
}
