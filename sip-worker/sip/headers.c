/* The headers of an INVITE that mean something to call control: transfer id, X-GA-*, X-*. */
#include "sip-worker/sip/internal.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "common/id.h"

#define HEADERS_MAX 200  /* X-headers and the like of one INVITE; further ones are ignored */
#define VALUE_MAX   8192 /* bytes of one value */

static const char iv_prefix[] = "X-GA-iv-";

/* Length of the well-formed UTF-8 character at p, 0: malformed. */
static size_t
utf8_len(const char *p)
{
	size_t n = (uint8_t)*p < 0x80 ? 1 : (uint8_t)*p < 0xe0 ? 2 : (uint8_t)*p < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < n; i++)
		if (!p[i])
			return 0;
	return str_is_utf8(p, n) ? n : 0;
}

bool
headers_clean(char *out, size_t size, const char *value)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const char *p = value;
	size_t n = 0;

	while (*p) {
		const char *piece = p;
		size_t len = utf8_len(p), step = len ? len : 1;

		if (!len) {
			piece = replacement;
			len = sizeof replacement - 1;
		} else if (len == 1 && ((uint8_t)*p < 0x20 || *p == 0x7f)) {
			piece = " ";
		}
		if (n + len >= size)
			break;
		memcpy(out + n, piece, len);
		n += len;
		p += step;
		/* A folded line is one space. */
		if (*piece == ' ' && piece != p - step)
			p += strspn(p, " \t\r\n");
	}
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	return *p == '\0';
}

static bool
put(json_t *object, const char *name, const char *value)
{
	char key[SIP_TEXT_MAX], text[VALUE_MAX];

	if (!headers_clean(key, sizeof key, name) || key[0] == '\0')
		return true;
	headers_clean(text, sizeof text, value);
	return json_object_set_new(object, key, json_string(text)) == 0;
}

/* Keeps the first of several; says whether this one differs from it. */
static bool
take(char *out, bool *has, const char *value)
{
	char text[SIP_TEXT_MAX + 1];
	bool same;

	headers_clean(text, sizeof text, value);
	if (text[0] == '\0')
		return true;
	same = !*has || strcmp(out, text) == 0;
	if (!*has)
		memcpy(out, text, sizeof text);
	*has = true;
	return same;
}

/* An id longer than any id must not become another one by being cut. */
static bool
take_id(struct invite_headers *h, const char *value)
{
	char text[SIP_TEXT_MAX + 1];

	if (headers_clean(text, sizeof text, value))
		return take(h->transfer, &h->has_transfer, value);
	h->has_transfer = true;
	memcpy(h->transfer, "?", 2);
	return true;
}

static bool
is_context(const char *name)
{
	return strncasecmp(name, "X-", 2) == 0 || strcasecmp(name, "User-to-User") == 0 ||
	       strcasecmp(name, "Diversion") == 0 || strcasecmp(name, "P-Asserted-Identity") == 0;
}

static bool
read_one(struct invite_headers *h, const char *name, const char *value,
	 const struct account *account)
{
	char token[SIP_LOOP_TOKEN_SIZE];

	if (!is_context(name))
		return true;
	if (strcasecmp(name, "X-ASAPP-CallTransferId") == 0)
		h->conflicting |= !take_id(h, value);
	else if (strcasecmp(name, "X-GA-taskName") == 0)
		take(h->task, &h->has_task, value);
	else if (strcasecmp(name, "X-GA-extConversationId") == 0)
		take(h->conversation, &h->has_conversation, value);
	else if (strcasecmp(name, "X-GA-customerId") == 0)
		take(h->customer, &h->has_customer, value);
	else if (strcasecmp(name, SIP_LOOP_HEADER) == 0) {
		headers_loop_token(account, token);
		h->looped |= strcmp(value, token) == 0;
	} else if (strncasecmp(name, iv_prefix, sizeof iv_prefix - 1) == 0 &&
		   !put(h->input_variables, name + sizeof iv_prefix - 1, value))
		return false;
	return put(h->headers, name, value);
}

bool
headers_read(struct invite_headers *h, const sip_t *sip, const struct account *account)
{
	int n = 0;

	*h = (struct invite_headers){ .input_variables = json_object(), .headers = json_object() };
	if (!h->input_variables || !h->headers) {
		headers_finish(h);
		return false;
	}
	for (const sip_unknown_t *u = sip->sip_unknown; u && n < HEADERS_MAX; u = u->un_next, n++)
		if (u->un_name && u->un_value && !read_one(h, u->un_name, u->un_value, account)) {
			headers_finish(h);
			return false;
		}
	return true;
}

void
headers_finish(struct invite_headers *h)
{
	json_decref(h->input_variables);
	json_decref(h->headers);
	h->input_variables = h->headers = NULL;
}

const char *
headers_reason(const sip_t *sip, char *out, size_t size)
{
	const sip_reason_t *re = sip->sip_reason;
	char text[SIP_TEXT_MAX];

	if (!re || !re->re_protocol)
		return NULL;
	str_print(text, sizeof text, "%s%s%s%s%s", re->re_protocol, re->re_cause ? ";cause=" : "",
		  re->re_cause ? re->re_cause : "", re->re_text ? ";text=" : "",
		  re->re_text ? re->re_text : "");
	headers_clean(out, size, text);
	return out;
}

/* The same for every worker of a cell, different between cells: hashed from what only they know. */
void
headers_loop_token(const struct account *account, char out[SIP_LOOP_TOKEN_SIZE])
{
	crypto_generichash_state st;
	uint8_t sum[crypto_generichash_BYTES_MIN];

	crypto_generichash_init(&st, NULL, 0, sizeof sum);
	crypto_generichash_update(&st, (const uint8_t *)account->name, strlen(account->name));
	for (size_t i = 0; i < account->api_key_count; i++) {
		const struct secret *secret = &account->api_keys[i].secret;

		crypto_generichash_update(&st, (const uint8_t *)secret->text, secret->len);
	}
	crypto_generichash_final(&st, sum, sizeof sum);
	id_hex(out, sum, sizeof sum);
}
