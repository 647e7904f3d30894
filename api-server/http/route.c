#include "api-server/http/route.h"

#include <string.h>

#include "api-server/http/guard.h"
#include "common/str.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
route_decode(const char *text, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%') {
			bool whole = len - i > 2;
			int hi = whole ? hex_digit(text[i + 1]) : -1;
			int lo = whole ? hex_digit(text[i + 2]) : -1;

			if (hi < 0 || lo < 0 || hi + lo == 0)
				return false;
			c = (char)(hi * 16 + lo);
			i += 2;
		}
		if (n + 1 >= size)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

/* Does path (len bytes) fit the pattern?  *seg is the captured segment, if the pattern has one. */
static bool
fits(const char *pattern, const char *path, size_t len, const char **seg, size_t *seg_len)
{
	const char *colon = strchr(pattern, ':');
	size_t fixed = colon ? (size_t)(colon - pattern) : strlen(pattern);
	const char *rest, *slash;
	size_t tail;

	*seg = NULL;
	*seg_len = 0;
	if (len < fixed || memcmp(path, pattern, fixed) != 0)
		return false;
	if (!colon)
		return len == fixed;
	slash = memchr(path + fixed, '/', len - fixed);
	*seg = path + fixed;
	*seg_len = slash ? (size_t)(slash - *seg) : len - fixed;
	rest = strchr(colon, '/');
	tail = rest ? strlen(rest) : 0;
	if (!*seg_len || len - fixed - *seg_len != tail)
		return false;
	return !tail || memcmp(*seg + *seg_len, rest, tail) == 0;
}

static void
add_allow(char *allow, const char *method)
{
	size_t n = strlen(allow);

	if (!str_print(allow + n, ROUTE_ALLOW_MAX - n, "%s%s%s", n ? ", " : "", method,
		       str_eq(method, "GET") ? ", HEAD" : ""))
		allow[n] = '\0';
}

static void
capture(struct route_match *out, const struct route *rt, const char *seg, size_t seg_len)
{
	if (seg && !route_decode(seg, seg_len, out->param, sizeof(out->param))) {
		/* Well-formed but too long for any id: there is no such thing. */
		char longer[GUARD_TARGET_MAX + 1];
		bool formed = route_decode(seg, seg_len, longer, sizeof(longer));

		out->err = formed ? ERR_NOT_FOUND : ERR_INVALID;
		out->param[0] = '\0';
		return;
	}
	out->err = ERR_OK;
	out->route = rt;
}

void
route_find(const struct route *table, const char *method, const char *target,
	   struct route_match *out)
{
	const char *question = strchr(target, '?'), *seg;
	size_t len = question ? (size_t)(question - target) : strlen(target), seg_len;

	out->route = NULL;
	out->err = ERR_NOT_FOUND;
	out->param[0] = out->allow[0] = out->query[0] = '\0';
	if (question && !str_copy(out->query, sizeof(out->query), question + 1)) {
		out->err = ERR_INVALID;
		return;
	}
	if (str_eq(method, "HEAD"))
		method = "GET";
	for (const struct route *rt = table; rt->method; rt++) {
		if (!fits(rt->pattern, target, len, &seg, &seg_len))
			continue;
		if (str_eq(rt->method, method)) {
			capture(out, rt, seg, seg_len);
			return;
		}
		out->err = ERR_METHOD;
		add_allow(out->allow, rt->method);
	}
}

enum err
route_query(const char *query, const char *name, char *out, size_t size, bool *found)
{
	size_t name_len = strlen(name);

	*found = false;
	for (const char *p = query; *p;) {
		size_t len = strcspn(p, "&");

		if (len > name_len && !memcmp(p, name, name_len) && p[name_len] == '=') {
			if (*found ||
			    !route_decode(p + name_len + 1, len - name_len - 1, out, size))
				return ERR_INVALID;
			*found = true;
		}
		p += len;
		p += *p == '&';
	}
	return ERR_OK;
}
