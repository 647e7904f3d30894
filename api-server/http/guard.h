/* guard.h - a strict reader of HTTP/1.x framing, run over the bytes before libmicrohttpd sees them.
 *
 * The library (0.9.75, even when told to be strict) accepts what front ends and we could frame
 * differently: two Content-Lengths, Content-Length with Transfer-Encoding, `Name : v`, folded
 * lines, bare LF, NUL.  Whatever the guard lets through means one thing only.  It also knows where
 * each request starts and ends, which the deadlines need.  Pure: no I/O, no allocation, no clock.
 */
#ifndef API_SERVER_HTTP_GUARD_H
#define API_SERVER_HTTP_GUARD_H

#include "common/base.h"

#define GUARD_TARGET_MAX  4096
#define GUARD_HEADERS_MAX 64
#define GUARD_HEAD_MAX    16384 /* bytes of request line and headers */
#define GUARD_NAME_MAX    24    /* longest header name that is looked at */

enum guard_result {
	GUARD_MORE, /* all was read, the request goes on */
	GUARD_DONE, /* a request ended within the data */
	GUARD_BAD,  /* answer guard->refusal and close */
};

/* What to answer to a request that is refused before it is one. */
struct guard_refusal {
	int status;
	const char *code; /* "400-01" */
	const char *message;
};

struct guard {
	uint64_t body_limit; /* bytes; set once by guard_init() */
	const struct guard_refusal *refusal;
	uint64_t left;  /* body or chunk bytes still to come */
	uint64_t total; /* chunked body so far */
	uint32_t head;  /* bytes of the request line and headers */
	uint32_t seen;  /* known headers, a bit each */
	uint16_t headers;
	uint16_t count; /* bytes of the token being read */
	uint8_t state;
	uint8_t field; /* index of the known header being read */
	bool minor;    /* HTTP/1.1 */
	bool chunked;
	bool spaced; /* a value's trailing white space began */
	char name[GUARD_NAME_MAX];
};

void guard_init(struct guard *g, uint64_t body_limit);
/* Reads on; *used says how much belongs to this request (GUARD_DONE: the rest is the next one's).
 */
enum guard_result guard_feed(struct guard *g, const char *data, size_t len, size_t *used);
/* No byte of a request has come yet. */
bool guard_idle(const struct guard *g);

#endif
