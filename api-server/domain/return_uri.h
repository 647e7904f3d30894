/* return_uri.h - a SIP, SIPS or tel URI taken apart just far enough to judge it.  Views into the
 * text; nothing is decoded.  Pure. */
#ifndef API_SERVER_DOMAIN_RETURN_URI_H
#define API_SERVER_DOMAIN_RETURN_URI_H

#include "common/base.h"

#define RETURN_URI_MAX 1024

struct return_uri {
	bool is_tel;
	bool ambiguous;   /* a second '@': another parser may see another host */
	const char *host; /* without brackets, port and trailing dot; empty for tel */
	size_t host_len;
	const char *headers; /* after '?', NULL: none */
};

/* false: not one of the three schemes, or nothing after it. */
MUST_USE bool return_uri_split(const char *uri, struct return_uri *out);

#endif
