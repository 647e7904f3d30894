#include "sip-worker/sip/target.h"

#include <string.h>
#include <strings.h>

#include "common/uri.h"

#define LOOP_HEADER     "X-Handback-Return"
#define SECURE_WEB_PORT 443
#define UNPRIVILEGED    1024

/* --- URI headers --- */

bool
target_header_allowed(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!uri_is_token_char((unsigned char)*p))
			return false;
	return ((str_starts_nocase(name, "X-") && name[2]) ||
		str_eq_nocase(name, "User-to-User")) &&
	       !str_eq_nocase(name, LOOP_HEADER);
}

const char *
target_header_value(const char *header)
{
	return header + strlen(header) + 1;
}

/* Decodes p..end in place; no control characters: they would end the header. */
static bool
decode(char *p, const char *end)
{
	const char *in = p;

	while (in < end) {
		int c = uri_decode(&in, end);

		if (c < 0x20 || c == 0x7f)
			return false;
		*p++ = (char)c;
	}
	*p = '\0';
	return true;
}

static bool
split_header(char *p, char *end, struct target *t, const char **why)
{
	char *equals = memchr(p, '=', (size_t)(end - p));
	const char *name = p;

	*why = "too many URI headers";
	if (t->header_count == TARGET_HEADERS_MAX)
		return false;
	*why = "malformed URI header";
	if (!equals || !decode(p, equals) || !decode(equals + 1, end))
		return false;
	*why = "only X-* and User-to-User may be URI headers";
	if (!target_header_allowed(name))
		return false;
	/* The decoded name may have become shorter. */
	memmove(p + strlen(p) + 1, equals + 1, strlen(equals + 1) + 1);
	t->headers[t->header_count++] = name;
	return true;
}

static bool
split_headers(char *p, struct target *t, const char **why)
{
	for (;;) {
		char *end = p + strcspn(p, "&");
		bool last = *end == '\0';

		*end = '\0';
		if (!split_header(p, end, t, why))
			return false;
		if (last)
			return true;
		p = end + 1;
	}
}

/* --- parameters --- */

static bool
read_transport(const char *value, size_t len, struct target *t)
{
	static const char *const names[] = {
		[SIP_UDP] = "udp",
		[SIP_TCP] = "tcp",
		[SIP_TLS] = "tls",
	};

	if (t->has_transport)
		return false;
	t->has_transport = true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == len && strncasecmp(value, names[i], len) == 0) {
			t->transport = (enum sip_transport)i;
			return true;
		}
	return false;
}

static bool
is_name(const char *name, size_t len, const char *wanted)
{
	return strlen(wanted) == len && strncasecmp(name, wanted, len) == 0;
}

static bool
read_param(const char *p, size_t len, struct target *t, const char **why)
{
	const char *equals = memchr(p, '=', len);
	size_t name_len = equals ? (size_t)(equals - p) : len;
	const char *value = equals ? equals + 1 : p + len;
	size_t value_len = (size_t)(p + len - value);

	*why = "malformed URI parameter";
	if (name_len == 0 || memchr(p, '%', name_len))
		return false;
	*why = "maddr is not allowed";
	if (is_name(p, name_len, "maddr"))
		return false;
	*why = "the method can only be INVITE";
	if (is_name(p, name_len, "method"))
		return is_name(value, value_len, "INVITE");
	*why = "transport must be udp, tcp or tls";
	if (is_name(p, name_len, "transport"))
		return read_transport(value, value_len, t);
	return true;
}

static bool
read_params(const char *params, struct target *t, const char **why)
{
	for (const char *p = params; p;) {
		size_t len = strcspn(p, ";");

		if (!read_param(p, len, t, why))
			return false;
		p = p[len] ? p + len + 1 : NULL;
	}
	return true;
}

/* --- host --- */

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters, digits, hyphens (and the underscore that DNS knows).  A last label that does not begin
 * with a letter makes an address to some resolvers: 127.1, 2130706433, 0x7f000001. */
static bool
is_host_name(const char *name)
{
	const char *label = name;
	size_t len;

	do {
		len = strcspn(label, ".");
		if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
			return false;
		for (size_t i = 0; i < len; i++)
			if (!is_letter(label[i]) && !(label[i] >= '0' && label[i] <= '9') &&
			    label[i] != '-' && label[i] != '_')
				return false;
		if (label[len] == '\0')
			return is_letter(label[0]);
		label += len + 1;
	} while (true);
}

static bool
read_host(const char *host, struct target *t)
{
	bool brackets = host[0] == '[';
	size_t len = strlen(host);

	if (brackets) {
		if (len < 3 || host[len - 1] != ']' || strchr(host, '%'))
			return false;
	} else if (len && host[len - 1] == '.') {
		len--;
	}
	if (len == 0 || len > TARGET_HOST_MAX)
		return false;
	memcpy(t->name, host + brackets, len - 2 * brackets);
	t->name[len - 2 * brackets] = '\0';
	t->is_address = addr_parse(t->name, t->port, &t->address);
	if (t->is_address)
		return brackets == (addr_family(&t->address) == AF_INET6) &&
		       host[strlen(host) - 1] != '.';
	return !brackets && is_host_name(t->name);
}

static bool
read_port(const char *text, struct target *t)
{
	int64_t port;

	if (!text)
		return true;
	if (strlen(text) > 5 || !str_to_int64(text, 1, 65535, &port))
		return false;
	t->port = (uint16_t)port;
	return true;
}

/* --- the whole --- */

/* Ends the piece before p; NULL when it is not there. */
static char *
cut(char *p)
{
	if (!p || !*p)
		return NULL;
	*p = '\0';
	return p + 1;
}

/* rest: after the scheme.  Headers first, since they may hold what else would mean something. */
static bool
split(char *rest, struct target *t, const char **why)
{
	char *at = strchr(rest, '@'), *end, *headers;

	if (at) {
		t->user = rest;
		rest = cut(at);
		*why = "user and password are not allowed in a URI";
		if (!t->user[0] || strchr(t->user, ':'))
			return false;
	}
	headers = cut(rest + strcspn(rest, "?"));
	t->params = cut(rest + strcspn(rest, ";"));
	t->host = rest;
	end = rest[0] == '[' ? strchr(rest, ']') : rest;
	t->port_text = end ? cut(end + strcspn(end, ":")) : NULL;
	*why = "malformed port";
	if (!read_port(t->port_text, t))
		return false;
	*why = "malformed host";
	if (!read_host(rest, t))
		return false;
	return read_params(t->params, t, why) && (!headers || split_headers(headers, t, why));
}

enum err
target_parse(const char *uri, struct target *out, const char **why)
{
	struct uri u;
	char *rest;

	*out = (struct target){ .port = 0 };
	*why = "control characters, spaces, quotes and <> are not allowed";
	if (!uri_is_clean(uri))
		return ERR_INVALID;
	*why = "the URI is too long";
	if (!str_copy(out->text, TARGET_TEXT_MAX + 1, uri))
		return ERR_INVALID;
	*why = "expected a sip: or sips: URI";
	if (!uri_split(uri, &u) || u.is_tel)
		return ERR_INVALID;
	*why = "a second @";
	if (u.ambiguous)
		return ERR_INVALID;
	rest = strchr(out->text, ':') + 1;
	out->secure = rest - out->text == 5;
	if (!split(rest, out, why))
		return ERR_INVALID;
	*why = "sips: goes by TLS alone";
	if (out->secure && out->has_transport && out->transport == SIP_UDP)
		return ERR_INVALID;
	return ERR_OK;
}

/* --- where a return may go --- */

static bool
matches_name(const char *item, const char *host)
{
	size_t host_len = strlen(host), len = strlen(item);

	if (item[0] == '.')
		return host_len > len && str_eq_nocase(host + host_len - len, item);
	return str_eq_nocase(item, host);
}

static bool
is_v4(const struct in6_addr *ip)
{
	return IN6_IS_ADDR_V4MAPPED(ip);
}

static uint32_t
v4_of(const struct addr *a)
{
	uint32_t ip = 0;

	if (addr_family(a) == AF_INET)
		ip = a->v4.sin_addr.s_addr;
	else
		memcpy(&ip, a->v6.sin6_addr.s6_addr + 12, sizeof ip);
	return ntohl(ip);
}

/* Nobody's address to call: this network, multicast, broadcast, or without the scope it needs. */
static bool
is_unreachable(const struct addr *a)
{
	const struct in6_addr *ip = &a->v6.sin6_addr;

	if (addr_is_any(a) || addr_is_multicast(a) || addr_port(a) == 0)
		return true;
	if (addr_family(a) == AF_INET6 && !is_v4(ip))
		return IN6_IS_ADDR_LINKLOCAL(ip) || IN6_IS_ADDR_V4COMPAT(ip);
	return v4_of(a) >> 24 == 0 || v4_of(a) >> 28 >= 14;
}

/* The machine itself and its neighbours on the wire, where services trust whoever reaches them:
 * no name vouches for these. */
static bool
is_local(const struct addr *a)
{
	const struct in6_addr *ip = &a->v6.sin6_addr;

	if (addr_family(a) == AF_INET6 && !is_v4(ip))
		return IN6_IS_ADDR_LOOPBACK(ip);
	return v4_of(a) >> 24 == 127 || v4_of(a) >> 16 == (169u << 8 | 254);
}

static bool
is_listener(const struct target_policy *p, const struct addr *a)
{
	for (size_t i = 0; i < p->listener_count; i++) {
		const struct addr *l = &p->listeners[i];

		if (addr_port(l) == addr_port(a) && addr_equal_host(l, a))
			return true;
	}
	return false;
}

static bool
in_networks(const struct cidr_list *list, const struct addr *a)
{
	for (size_t i = 0; i < list->count; i++)
		if (cidr_match(&list->items[i], a))
			return true;
	return false;
}

static bool
is_listed(const struct account *account, const char *host, const struct addr *a)
{
	const struct text_list *targets = &account->returns.allowed_targets;
	struct addr numeric;
	bool named = false;

	for (size_t i = 0; i < targets->count; i++) {
		struct cidr c;

		if (cidr_parse(targets->items[i], &c)) {
			if (cidr_match(&c, a))
				return true;
		} else if (!named) {
			named = matches_name(targets->items[i], host);
		}
	}
	return named && !addr_parse(host, 0, &numeric) &&
	       (!is_local(a) || in_networks(&account->sip.allow, a));
}

/* The host of the account's own return URI. */
static bool
is_own_target(const struct account *account, const char *host, const struct addr *a)
{
	struct uri own;
	char name[TARGET_HOST_MAX + 1];
	struct addr numeric;

	if (!account->returns.uri || !uri_split(account->returns.uri, &own) || own.is_tel ||
	    own.ambiguous || own.host_len > TARGET_HOST_MAX)
		return false;
	memcpy(name, own.host, own.host_len);
	name[own.host_len] = '\0';
	if (addr_parse(name, 0, &numeric))
		return addr_equal_host(&numeric, a);
	return str_eq_nocase(name, host) && !is_local(a);
}

bool
target_allowed(const struct target_policy *p, const char *host, const struct addr *a,
	       const char **why)
{
	*why = "not an address that can be called";
	if (is_unreachable(a))
		return false;
	*why = "our own listener";
	if (is_listener(p, a))
		return false;
	*why = "not a port for SIP";
	if (addr_port(a) < UNPRIVILEGED && addr_port(a) != SECURE_WEB_PORT)
		return false;
	*why = "outside the account's allowed targets";
	if (p->account->returns.has_allowed_targets)
		return is_listed(p->account, host, a);
	return in_networks(&p->account->sip.allow, a) ||
	       (p->source && addr_equal_host(p->source, a)) || is_own_target(p->account, host, a);
}
