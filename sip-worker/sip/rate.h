/* rate.h - token buckets per source address, in a table of fixed size.
 *
 * An address that authenticated is trusted for a while and not counted.  When the table is full
 * the bucket that was used longest ago goes.  IPv6 sources count by /64. */
#ifndef SIP_WORKER_SIP_RATE_H
#define SIP_WORKER_SIP_RATE_H

#include "common/addr.h"
#include "common/base.h"

#define RATE_BURST     20   /* requests of a stranger at once */
#define RATE_REFILL_MS 3000 /* and one more in so long */
#define RATE_TRUST_MS  3600000

struct rate;

struct rate *rate_create(void); /* NULL: no memory */
void rate_destroy(struct rate *r);
/* Takes a token; false: none left. Trusted sources always may. */
bool rate_take(struct rate *r, const struct addr *source, int64_t now_ms);
void rate_trust(struct rate *r, const struct addr *source, int64_t now_ms);
bool rate_is_trusted(const struct rate *r, const struct addr *source, int64_t now_ms);

#endif
