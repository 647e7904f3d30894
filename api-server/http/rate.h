/* rate.h - token buckets, and a bounded table of them for source addresses.  Pure: time is an
 * argument. */
#ifndef API_SERVER_HTTP_RATE_H
#define API_SERVER_HTTP_RATE_H

#include "common/addr.h"
#include "common/base.h"

/* A zeroed bucket is full. */
struct bucket {
	int64_t used_milli; /* thousandths of a token taken and not yet refilled */
	int64_t at_ms;
};

/* Takes one token of `rate` per second (burst the same); false: none left, nothing taken.
 * rate 0: always true. */
bool bucket_take(struct bucket *b, int64_t rate, int64_t now_ms);
/* Is there a token? */
bool bucket_has(struct bucket *b, int64_t rate, int64_t now_ms);

/* Failed authentications by source (IPv4 address, IPv6 /64).  A full table forgets the source
 * that has been quiet longest among those it collides with. */
struct sources;

struct sources *sources_create(void); /* NULL: no memory */
void sources_destroy(struct sources *s);
/* More than `rate` failures per second came from there: look at nothing it sends. */
bool sources_blocked(struct sources *s, const struct addr *from, int64_t rate, int64_t now_ms);
void sources_failed(struct sources *s, const struct addr *from, int64_t rate, int64_t now_ms);

#endif
