#include "sip-worker/sip/sdes.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "common/id.h"
#include "common/secret.h"

#define BASE64_LEN       40 /* of SRTP_MATERIAL bytes: no padding */
#define LIFETIME_MAX_LOG 48 /* packets that SRTP can count (RFC 3711 9.2) */

struct span {
	const char *at;
	size_t len;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The next word between spaces; empty at the end. */
static struct span
next_word(struct span *rest)
{
	struct span word;

	while (rest->len && is_space(rest->at[0])) {
		rest->at++;
		rest->len--;
	}
	word = (struct span){ rest->at, 0 };
	while (word.len < rest->len && !is_space(rest->at[word.len]))
		word.len++;
	rest->at += word.len;
	rest->len -= word.len;
	return word;
}

/* What stands before the separator, without it; *more: there is one. */
static struct span
next_part(struct span *rest, char separator, bool *more)
{
	struct span part = { rest->at, 0 };

	while (part.len < rest->len && rest->at[part.len] != separator)
		part.len++;
	*more = part.len < rest->len;
	rest->at += part.len + *more;
	rest->len -= part.len + *more;
	return part;
}

static bool
take_prefix(struct span *s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (s->len < n || strncasecmp(s->at, prefix, n) != 0)
		return false;
	s->at += n;
	s->len -= n;
	return true;
}

/* Decimal digits only, up to 2^48. */
static bool
read_number(struct span s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0 || s.len > 15)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_digit(s.at[i]))
			return false;
		n = n * 10 + (uint64_t)(s.at[i] - '0');
	}
	*out = n;
	return n <= (uint64_t)1 << LIFETIME_MAX_LOG;
}

static bool
read_tag(struct span s, char tag[SDES_TAG_SIZE])
{
	uint64_t n;

	if (s.len >= SDES_TAG_SIZE || !read_number(s, &n))
		return false;
	memcpy(tag, s.at, s.len);
	tag[s.len] = '\0';
	return true;
}

static bool
read_suite(struct span s, enum srtp_suite *out)
{
	for (int i = SRTP_SUITE_80; i < SRTP_SUITE_COUNT; i++) {
		struct span rest = s;

		*out = (enum srtp_suite)i;
		if (take_prefix(&rest, srtp_suite_names[i]) && rest.len == 0)
			return true;
	}
	return false;
}

/* "2^31" or "1048576".  It bounds the peer's own sending: nothing for us to keep. */
static bool
is_lifetime(struct span s)
{
	bool power = take_prefix(&s, "2^");
	uint64_t n;

	return read_number(s, &n) && n > 0 && (!power || n <= LIFETIME_MAX_LOG);
}

/* value:length, the length in bytes. */
static bool
read_mki(struct span s, struct srtp_key *key)
{
	uint64_t value, len;
	bool more;
	struct span first = next_part(&s, ':', &more);

	if (!more || !read_number(first, &value) || !read_number(s, &len) || len == 0 ||
	    len > SRTP_MKI_MAX || value >> (8 * len) != 0)
		return false;
	key->mki_len = (uint8_t)len;
	for (size_t i = 0; i < len; i++)
		key->mki[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
	return true;
}

static bool
read_material(struct span s, struct srtp_key *key)
{
	size_t n;

	return s.len == BASE64_LEN &&
	       sodium_base642bin(key->material, SRTP_MATERIAL, s.at, s.len, NULL, &n, NULL,
				 sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       n == SRTP_MATERIAL;
}

/* inline:key[|lifetime][|mki]; several keys, after semicolons, are not for us. */
static bool
read_key(struct span s, struct srtp_key *key)
{
	struct span part;
	bool more;

	if (!take_prefix(&s, "inline:"))
		return false;
	part = next_part(&s, '|', &more);
	if (!read_material(part, key))
		return false;
	if (!more)
		return true;
	part = next_part(&s, '|', &more);
	if (!memchr(part.at, ':', part.len)) {
		if (!is_lifetime(part))
			return false;
		if (!more)
			return true;
		part = next_part(&s, '|', &more);
	}
	return !more && read_mki(part, key);
}

/* KDR, UNENCRYPTED_…, FEC_… and what nobody knows change the packets; a hint for the window and
 * what is marked as optional do not (RFC 4568 6.3). */
static bool
is_harmless(struct span param)
{
	uint64_t n;

	if (param.at[0] == '-')
		return param.len > 1;
	return take_prefix(&param, "WSH=") && read_number(param, &n);
}

bool
sdes_read(const char *text, size_t len, struct sdes *out)
{
	struct span rest = { text, len }, word;
	struct sdes s = { 0 };
	bool ok = read_tag(next_word(&rest), s.tag) && read_suite(next_word(&rest), &s.key.suite) &&
		  read_key(next_word(&rest), &s.key);

	for (word = next_word(&rest); ok && word.len; word = next_word(&rest))
		ok = is_harmless(word);
	if (ok)
		*out = s;
	secret_wipe(&s, sizeof(s));
	return ok;
}

void
sdes_write(struct buf *out, const struct sdes *s)
{
	char text[BASE64_LEN + 1];

	sodium_bin2base64(text, sizeof(text), s->key.material, SRTP_MATERIAL,
			  sodium_base64_VARIANT_ORIGINAL);
	buf_printf(out, "a=crypto:%s %s inline:%s", s->tag, srtp_suite_names[s->key.suite], text);
	if (s->key.mki_len) {
		unsigned long value = 0;

		for (size_t i = 0; i < s->key.mki_len; i++)
			value = value << 8 | s->key.mki[i];
		buf_printf(out, "|%lu:%u", value, s->key.mki_len);
	}
	buf_add_str(out, "\r\n");
	secret_wipe(text, sizeof(text));
}

void
sdes_make_key(struct srtp_key *key, enum srtp_suite suite)
{
	*key = (struct srtp_key){ .suite = suite };
	id_random(key->material, sizeof(key->material));
}
