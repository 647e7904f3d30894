/* Which return URIs are acceptable, and where a return may go. */
#include "api-server/domain/transfer.h"

#include <string.h>

#include "common/str.h"
#include "common/uri.h"

#define RETURN_URI_MAX  1024
#define HEADER_NAME_MAX 128

/* --- URI headers: on an INVITE return they become headers of the INVITE --- */

static bool
is_header_allowed(const char *name)
{
	return (str_starts_nocase(name, "X-") && name[2]) || str_eq_nocase(name, "User-to-User");
}

/* NAME=VALUE in p..end; what is wrong with it, NULL: nothing. */
static const char *
check_header(const char *p, const char *end)
{
	char name[HEADER_NAME_MAX] = "";
	size_t len = 0;
	int c;

	while (p < end && *p != '=') {
		c = uri_decode(&p, end);
		if (!uri_is_token_char(c) || len + 1 >= sizeof(name))
			return "malformed name of a URI header";
		name[len++] = (char)c;
	}
	name[len] = '\0';
	if (!is_header_allowed(name))
		return "only X-* and User-to-User may be URI headers with INVITE";
	if (p == end)
		return "a URI header needs a value";
	for (p++; p < end;) {
		c = uri_decode(&p, end);
		if (c < 0x20 || c == 0x7f)
			return "malformed value of a URI header";
	}
	return NULL;
}

static const char *
check_headers(const char *headers)
{
	const char *p = headers;

	for (;;) {
		const char *end = p + strcspn(p, "&");
		const char *wrong = check_header(p, end);

		if (wrong || !*end)
			return wrong;
		p = end + 1;
	}
}

static const char *
check(const char *uri, enum return_type type)
{
	struct uri u;

	if (strlen(uri) > RETURN_URI_MAX)
		return "more than 1024 characters";
	if (!uri_is_clean(uri))
		return "control characters, spaces, quotes and <> are not allowed";
	if (!uri_split(uri, &u))
		return "expected a sip:, sips: or tel: URI";
	if (type == RETURN_INVITE && u.headers)
		return check_headers(u.headers);
	return NULL;
}

enum err
transfer_check_uri(const char *uri, enum return_type type, struct fault *f)
{
	const char *wrong = check(uri, type);

	if (!wrong)
		return ERR_OK;
	fault_set(f, "/sip/returnUri", "%s", wrong);
	return ERR_INVALID;
}

/* --- where a return may go --- */

/* The host of a target: a name, a .suffix, or addresses. */
struct host {
	char text[RETURN_URI_MAX + 1];
	bool is_address;
	struct addr addr;
};

static bool
matches(const char *target, const struct host *h)
{
	size_t host_len = strlen(h->text), len = strlen(target);
	struct cidr c;

	if (cidr_parse(target, &c))
		return h->is_address && cidr_match(&c, &h->addr);
	if (target[0] == '.')
		return !h->is_address && host_len > len &&
		       str_eq_nocase(h->text + host_len - len, target);
	return str_eq_nocase(h->text, target);
}

/* A name may resolve into addresses that are listed: the worker judges those when it sends. */
static bool
lists_addresses(const struct text_list *targets)
{
	struct cidr c;

	for (size_t i = 0; i < targets->count; i++)
		if (cidr_parse(targets->items[i], &c))
			return true;
	return false;
}

static bool
is_listed(const struct account *a, enum return_type type, const struct host *h)
{
	const struct text_list *targets = &a->returns.allowed_targets;

	for (size_t i = 0; i < targets->count; i++)
		if (matches(targets->items[i], h))
			return true;
	return type == RETURN_INVITE && !h->is_address && lists_addresses(targets);
}

/* Without a list an INVITE may reach the account's networks, the host of its own URI, and where
 * the call came from, which is within `allow` unless that is empty. */
static bool
is_within_account(const struct account *a, const struct host *h)
{
	struct uri own;

	if (!h->is_address || a->sip.allow.count == 0)
		return true;
	for (size_t i = 0; i < a->sip.allow.count; i++)
		if (cidr_match(&a->sip.allow.items[i], &h->addr))
			return true;
	return a->returns.uri && uri_split(a->returns.uri, &own) &&
	       own.host_len == strlen(h->text) && strncasecmp(own.host, h->text, own.host_len) == 0;
}

bool
transfer_uri_allowed(const char *uri, enum return_type type, const struct account *account)
{
	struct uri u;
	struct host h = { .is_address = false };

	if (type == RETURN_BYE)
		return true; /* it is not used */
	if (!uri_split(uri, &u))
		return false;
	if (type == RETURN_REFER && !account->returns.has_allowed_targets)
		return true;
	if (u.is_tel || u.ambiguous || u.host_len > RETURN_URI_MAX)
		return false;
	memcpy(h.text, u.host, u.host_len);
	h.text[u.host_len] = '\0';
	h.is_address = addr_parse(h.text, 0, &h.addr);
	return account->returns.has_allowed_targets ? is_listed(account, type, &h)
						    : is_within_account(account, &h);
}
