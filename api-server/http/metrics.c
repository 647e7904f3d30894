#include "api-server/http/metrics.h"

#include <ctype.h>
#include <string.h>

#include "api-server/http/internal.h"

/* Upper bounds; the text of "le" beside the number. */
/* clang-format off */
static const struct {
	int64_t ns;
	const char *le;
} bounds[METRICS_BUCKETS] = {
	{    500000, "0.0005" }, {   1000000, "0.001" }, {   5000000, "0.005" }, {  10000000, "0.01" },
	{  50000000, "0.05" },   { 100000000, "0.1" },   { 500000000, "0.5" },   { 2000000000, "2" },
};
/* clang-format on */

void
metrics_count(struct metrics *m, size_t route, enum err e, int64_t took_ns)
{
	size_t b = 0;

	m->answers[route][e]++;
	while (b < METRICS_BUCKETS && took_ns > bounds[b].ns)
		b++;
	m->slow[b]++;
	m->sum_ns += (uint64_t)took_ns;
	m->count++;
}

static void
one(struct buf *out, const char *name, const char *type, uint64_t value)
{
	buf_printf(out, "# TYPE handback_%s %s\nhandback_%s %llu\n", name, type, name,
		   (unsigned long long)value);
}

/* Several kinds of error share a status: 503 is one line. */
static void
print_route(const uint64_t counts[ERR_COUNT], const struct route *rt, struct buf *out)
{
	bool done[ERR_COUNT] = { false };

	for (int e = 0; e < ERR_COUNT; e++) {
		uint64_t sum = 0;

		for (int same = e; same < ERR_COUNT; same++) {
			if (done[same] || err_http((enum err)same) != err_http((enum err)e))
				continue;
			done[same] = true;
			sum += counts[same];
		}
		if (sum)
			buf_printf(out,
				   "handback_http_requests_total{method=\"%s\",route=\"%s\",code="
				   "\"%d\"} "
				   "%llu\n",
				   rt ? rt->method : "", rt ? rt->pattern : "",
				   err_http((enum err)e), (unsigned long long)sum);
	}
}

static void
print_requests(const struct metrics *m, struct buf *out)
{
	uint64_t sum = 0;
	size_t row = 0;

	buf_add_str(out, "# TYPE handback_http_requests_total counter\n");
	for (; http_routes[row].method; row++)
		print_route(m->answers[row], &http_routes[row], out);
	print_route(m->answers[METRICS_ROUTES], NULL, out);
	buf_add_str(out, "# TYPE handback_http_request_seconds histogram\n");
	for (size_t i = 0; i < METRICS_BUCKETS; i++) {
		sum += m->slow[i];
		buf_printf(out, "handback_http_request_seconds_bucket{le=\"%s\"} %llu\n",
			   bounds[i].le, (unsigned long long)sum);
	}
	buf_printf(out,
		   "handback_http_request_seconds_bucket{le=\"+Inf\"} %llu\n"
		   "handback_http_request_seconds_sum %.6f\nhandback_http_request_seconds_count "
		   "%llu\n",
		   (unsigned long long)m->count, (double)m->sum_ns / 1e9,
		   (unsigned long long)m->count);
}

static void
print_store(const struct http *h, struct buf *out)
{
	struct store_stats s;

	store_stats(h->store, &s);
	one(out, "store_commits_total", "counter", (uint64_t)s.commits);
	one(out, "store_writes_total", "counter", (uint64_t)s.writes);
	one(out, "store_reads_total", "counter", (uint64_t)s.reads);
	one(out, "store_failures_total", "counter", (uint64_t)s.failures);
	one(out, "store_queued", "gauge", (uint64_t)s.queued);
	one(out, "store_wal_bytes", "gauge", (uint64_t)s.wal_bytes);
}

/* A worker chooses its name and its counters' names; both are cut to what the format allows. */
static bool
name_ok(const char *s)
{
	if (!*s || isdigit((unsigned char)*s))
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	return true;
}

static bool
label_ok(const char *s)
{
	return s && !str_has_control(s) && !strpbrk(s, "\"\\");
}

static bool
ends_with(const char *s, const char *tail)
{
	return strlen(s) >= strlen(tail) && strcmp(s + strlen(s) - strlen(tail), tail) == 0;
}

/* maxCalls -> max_calls, as such names are written. */
static void
snake(const char *name, char out[96])
{
	size_t n = 0;

	for (; *name && n + 3 < 96; name++) {
		if (*name >= 'A' && *name <= 'Z')
			out[n++] = '_';
		out[n++] = (char)tolower((unsigned char)*name);
	}
	out[n] = '\0';
}

static void
print_value(const char *name, const char *worker, const json_t *value, struct buf *out)
{
	buf_printf(out, "handback_worker_%s{worker=\"%s\"} ", name, worker);
	if (json_is_boolean(value))
		buf_printf(out, "%d\n", json_is_true(value));
	else if (json_is_integer(value))
		buf_printf(out, "%lld\n", (long long)json_integer_value(value));
	else
		buf_printf(out, "%.9g\n", json_real_value(value));
}

/* One metric of all workers together, as the format wants them. */
static void
print_metric(const json_t *workers, const char *section, const char *key, struct buf *out)
{
	char name[96];
	const json_t *w;
	size_t i;

	snake(key, name);
	buf_printf(out, "# TYPE handback_worker_%s %s\n", name,
		   ends_with(name, "_total") ? "counter" : "gauge");
	json_array_foreach(workers, i, w)
	{
		const char *worker = json_string_value(json_object_get(w, "worker"));
		const json_t *value = json_object_get(section ? json_object_get(w, section) : w,
						      key);

		if (label_ok(worker) && (json_is_boolean(value) || json_is_number(value)))
			print_value(name, worker, value, out);
	}
}

/* All workers are of one version: the first one's names are those of all. */
static void
print_workers(const json_t *workers, struct buf *out)
{
	json_t *first = json_array_get(workers, 0), *value;
	const char *name;

	json_object_foreach(first, name, value)
	{
		if ((json_is_boolean(value) || json_is_number(value)) && name_ok(name) &&
		    strcmp(name, "pid") != 0)
			print_metric(workers, NULL, name, out);
	}
	json_object_foreach(json_object_get(first, "counters"), name, value)
	{
		if (name_ok(name))
			print_metric(workers, "counters", name, out);
	}
}

void
metrics_print(struct http *h, struct buf *out)
{
	json_t *workers = hub_workers_json(h->hub);

	print_requests(&h->metrics, out);
	one(out, "http_connections", "gauge", h->conns.open);
	one(out, "http_connections_total", "counter", h->conns.opened);
	one(out, "http_refused_total", "counter", h->conns.refused);
	one(out, "http_timeouts_total", "counter", h->conns.timed_out);
	one(out, "http_throttled_total", "counter", h->metrics.throttled);
	one(out, "http_waiting", "gauge", h->pending);
	print_store(h, out);
	one(out, "workers_ready", "gauge", hub_ready_workers(h->hub));
	print_workers(workers, out);
	json_decref(workers);
}
