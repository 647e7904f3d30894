/* uri.h - a SIP, SIPS or tel URI taken apart just far enough to judge it, and the escapes of its
 * headers (RFC 3261 19.1.1).  Views into the text.  Pure. */
#ifndef COMMON_URI_H
#define COMMON_URI_H

#include "common/base.h"
#include "common/str.h"

struct uri {
	bool is_tel;
	bool ambiguous;   /* a second '@': another parser may see another host */
	const char *host; /* without brackets, port and trailing dot; empty for tel */
	size_t host_len;
	const char *headers; /* after '?', NULL: none; a tel URI has none */
};

/* false: not one of the three schemes, or nothing after it. */
MUST_USE bool uri_split(const char *uri, struct uri *out);
/* Can it stand within <> and in a header: no control character, blank, quote, '<' or '>'. */
bool uri_is_clean(const char *uri);

/* One character of p..end, its escape decoded; -1: a broken escape. */
int uri_decode(const char **p, const char *end);
/* A header's name or value as it stands in a URI: what the grammar does not allow as %XX. */
void uri_encode(const char *text, struct buf *out);
size_t uri_encoded_len(const char *text);

/* May c be in a token (RFC 3261 25.1), which is what a header's name is? */
bool uri_is_token_char(int c);

#endif
