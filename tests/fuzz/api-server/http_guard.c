/* The guard over arbitrary bytes: it finds the same requests however they are cut, and what it
 * lets through can be routed without a fault. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api-server/http/guard.h"
#include "api-server/http/route.h"

#define LIMIT 4096

struct seen {
	int whole;
	int status; /* of the refusal, 0: none */
	bool idle;
};

static struct seen
read_all(const char *data, size_t len, size_t piece)
{
	struct seen s = { 0 };
	struct guard g;
	size_t used;

	guard_init(&g, LIMIT);
	for (size_t at = 0; at < len && !s.status; at += used) {
		size_t n = len - at < piece ? len - at : piece;
		enum guard_result r = guard_feed(&g, data + at, n, &used);

		if (used == 0 || used > n || (r == GUARD_MORE && used != n))
			abort();
		s.whole += r == GUARD_DONE;
		s.status = r == GUARD_BAD ? g.refusal->status : 0;
	}
	s.idle = guard_idle(&g);
	return s;
}

static void
nothing(struct request *r)
{
	(void)r;
}

static const struct route table[] = {
	{ "GET", "/", SCOPE_PUBLIC, false, nothing },
	{ "POST", "/a/b", SCOPE_ACCOUNT, true, nothing },
	{ "GET", "/a/b/:id", SCOPE_READ, false, nothing },
	{ "GET", "/a/b/:id/c", SCOPE_READ, false, nothing },
	{ .method = NULL },
};

/* The first line's target, as the library would cut it. */
static void
route_first(const char *data, size_t len)
{
	const char *line_end = memchr(data, '\r', len), *target, *end;
	char text[GUARD_TARGET_MAX + 1], value[64];
	struct route_match m;
	bool found;

	target = line_end ? memchr(data, ' ', (size_t)(line_end - data)) : NULL;
	end = target ? memchr(target + 1, ' ', (size_t)(line_end - target - 1)) : NULL;
	if (!end)
		abort();
	memcpy(text, target + 1, (size_t)(end - target - 1));
	text[end - target - 1] = '\0';
	route_find(table, "GET", text, &m);
	if (m.route ? m.err != ERR_OK : m.err == ERR_OK)
		abort();
	if (strlen(m.param) >= ROUTE_PARAM_MAX)
		abort();
	if (route_query(m.query, "limit", value, sizeof(value), &found) == ERR_OK && found &&
	    strlen(value) >= sizeof(value))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	struct seen one = read_all(text, len, 1), three = read_all(text, len, 3),
		    all = read_all(text, len, SIZE_MAX);

	if (one.whole != all.whole || one.status != all.status || one.idle != all.idle ||
	    three.whole != all.whole || three.status != all.status)
		abort();
	if (all.whole)
		route_first(text, len);
	return 0;
}
