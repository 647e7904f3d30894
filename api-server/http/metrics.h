/* metrics.h - counters of the REST side, and their text for Prometheus. */
#ifndef API_SERVER_HTTP_METRICS_H
#define API_SERVER_HTTP_METRICS_H

#include "common/base.h"
#include "common/err.h"
#include "common/str.h"

#define METRICS_ROUTES  16
#define METRICS_BUCKETS 8

struct metrics {
	uint64_t answers[METRICS_ROUTES + 1][ERR_COUNT]; /* by row of the route table; last: none */
	uint64_t slow[METRICS_BUCKETS + 1];              /* answers by duration; last: longer */
	uint64_t sum_ns, count;
	uint64_t throttled; /* from sources with failed keys */
};

struct http;

void metrics_count(struct metrics *m, size_t route, enum err e, int64_t took_ns);
/* Everything api-server knows in numbers. */
void metrics_print(struct http *h, struct buf *out);

#endif
