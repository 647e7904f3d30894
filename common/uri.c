#include "common/uri.h"

#include <string.h>

/* --- taking it apart --- */

static bool
split_host(const char *rest, struct uri *out)
{
	const char *end;

	if (*rest == '[') {
		end = strchr(rest, ']');
		if (!end)
			return false;
		out->host = rest + 1;
		out->host_len = (size_t)(end - rest - 1);
		rest = end + 1;
	} else {
		out->host = rest;
		out->host_len = strcspn(rest, ":;?");
		rest += out->host_len;
		if (out->host_len > 0 && out->host[out->host_len - 1] == '.')
			out->host_len--;
	}
	out->headers = strchr(rest, '?');
	if (out->headers)
		out->headers++;
	return out->host_len > 0;
}

bool
uri_split(const char *uri, struct uri *out)
{
	const char *rest, *at;

	*out = (struct uri){ .host = "" };
	if (str_starts_nocase(uri, "tel:")) {
		out->is_tel = true;
		return uri[4] != '\0';
	}
	if (str_starts_nocase(uri, "sip:"))
		rest = uri + 4;
	else if (str_starts_nocase(uri, "sips:"))
		rest = uri + 5;
	else
		return false;
	/* By the grammar the first '@' ends the user part, and there is no other. */
	at = strchr(rest, '@');
	if (at) {
		rest = at + 1;
		out->ambiguous = strchr(rest, '@') != NULL;
	}
	return split_host(rest, out);
}

bool
uri_is_clean(const char *uri)
{
	return !str_has_control(uri) && !strpbrk(uri, "<> \"");
}

/* --- escapes --- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
uri_decode(const char **p, const char *end)
{
	int high, low;

	if (**p != '%')
		return (unsigned char)*(*p)++;
	if (end - *p < 3)
		return -1;
	high = hex_value((*p)[1]);
	low = hex_value((*p)[2]);
	*p += 3;
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool
is_alphanumeric(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
uri_is_token_char(int c)
{
	return is_alphanumeric(c) || (c > 0 && strchr("-.!%*_+`'~", c));
}

/* unreserved and hnv-unreserved. */
static bool
is_plain(int c)
{
	/* '+' could stand too (RFC 3261 hnv-unreserved), but receivers that decode as for web forms
	 * would read a space: "+1999" must arrive. */
	return is_alphanumeric(c) || (c > 0 && strchr("-_.!~*'()[]/?:$", c));
}

void
uri_encode(const char *text, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		char escaped[3] = { '%', digits[*p >> 4], digits[*p & 15] };

		if (is_plain(*p))
			buf_add(out, p, 1);
		else
			buf_add(out, escaped, sizeof(escaped));
	}
}

size_t
uri_encoded_len(const char *text)
{
	size_t len = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		len += is_plain(*p) ? 1 : 3;
	return len;
}
