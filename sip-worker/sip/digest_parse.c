#include "sip-worker/sip/digest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"

enum field {
	F_USERNAME,
	F_REALM,
	F_URI,
	F_NONCE,
	F_CNONCE,
	F_RESPONSE,
	F_NC,
	F_QOP,
	F_ALGORITHM,
	F_COUNT
};

struct field_row {
	const char *name;
	bool required;
};

static const struct field_row fields[F_COUNT] = {
	[F_USERNAME] = { "username", true },
	[F_REALM] = { "realm", true },
	[F_URI] = { "uri", true },
	[F_NONCE] = { "nonce", true },
	[F_CNONCE] = { "cnonce", true },
	[F_RESPONSE] = { "response", true },
	[F_NC] = { "nc", true },
	[F_QOP] = { "qop", true },
	[F_ALGORITHM] = { "algorithm", false },
};

/* Where each field goes; algorithm is looked at by itself. */
struct target {
	char *at;
	size_t size;
};

static const char *
skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

const char *
digest_read_value(const char *p, char *out, size_t size)
{
	size_t n = 0;
	bool quoted = *p == '"';

	if (quoted)
		p++;
	while (*p && (quoted ? *p != '"' : !strchr(", \t\r\n", *p))) {
		if (quoted && *p == '\\' && p[1])
			p++;
		if (n + 1 >= size)
			return NULL;
		out[n++] = *p++;
	}
	out[n] = '\0';
	if (quoted && *p != '"')
		return NULL;
	return quoted ? p + 1 : p;
}

static int
find_field(const char *name, size_t len)
{
	for (int i = 0; i < F_COUNT; i++)
		if (strlen(fields[i].name) == len && strncasecmp(name, fields[i].name, len) == 0)
			return i;
	return -1;
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

/* One name=value; NULL: malformed. */
static const char *
read_parameter(const char *p, const struct target targets[F_COUNT], unsigned *seen)
{
	char ignored[2048];
	size_t len = strcspn(p, "= \t,\"");
	int f = find_field(p, len);
	struct target to = f < 0 ? (struct target){ ignored, sizeof ignored } : targets[f];

	if (len == 0)
		return NULL;
	p = skip_space(p + len);
	if (*p != '=')
		return NULL;
	if (f >= 0 && (*seen & 1u << f))
		return NULL;
	if (f >= 0)
		*seen |= 1u << f;
	return digest_read_value(skip_space(p + 1), to.at, to.size);
}

bool
digest_parse(const char *text, struct digest_response *out)
{
	char algorithm[32] = "MD5";
	const struct target targets[F_COUNT] = {
		[F_USERNAME] = { out->username, sizeof out->username },
		[F_REALM] = { out->realm, sizeof out->realm },
		[F_URI] = { out->uri, sizeof out->uri },
		[F_NONCE] = { out->nonce, sizeof out->nonce },
		[F_CNONCE] = { out->cnonce, sizeof out->cnonce },
		[F_RESPONSE] = { out->response, sizeof out->response },
		[F_NC] = { out->nc, sizeof out->nc },
		[F_QOP] = { out->qop, sizeof out->qop },
		[F_ALGORITHM] = { algorithm, sizeof algorithm },
	};
	unsigned seen = 0;
	const char *p = skip_space(text);

	*out = (struct digest_response){ 0 };
	while (*p) {
		p = read_parameter(p, targets, &seen);
		if (!p)
			return false;
		p = skip_space(p);
		if (*p == ',')
			p = skip_space(p + 1);
		else if (*p)
			return false;
	}
	for (int i = 0; i < F_COUNT; i++)
		if (fields[i].required && !(seen & 1u << i))
			return false;
	/* An upper-case response is tolerated, as others do. */
	for (char *c = out->response; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return str_eq_nocase(out->qop, "auth") && read_algorithm(algorithm, &out->algorithm);
}
