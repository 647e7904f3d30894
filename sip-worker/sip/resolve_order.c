#include "sip-worker/sip/resolve_order.h"

#include <stdlib.h>

#include "common/id.h"

/* One of the records from first on that share its priority, by weight (RFC 2782). */
static size_t
draw(const struct resolve_server *servers, size_t first, size_t end)
{
	uint32_t total = 0, random;

	for (size_t i = first; i < end; i++)
		total += servers[i].weight;
	id_random(&random, sizeof random);
	random %= total + 1;
	for (size_t i = first; i < end; i++) {
		if (random <= servers[i].weight)
			return i;
		random -= servers[i].weight;
	}
	return first;
}

static void
swap(struct resolve_server *a, struct resolve_server *b)
{
	struct resolve_server c = *a;

	*a = *b;
	*b = c;
}

static int
by_priority(const void *a, const void *b)
{
	const struct resolve_server *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	/* Without weight comes first, so that it has a chance at all. */
	return (int)x->weight - (int)y->weight;
}

static void
sort_servers(struct resolve_server *servers, size_t count)
{
	size_t start = 0;

	while (start < count) {
		size_t end = start;

		while (end < count && servers[end].transport == servers[start].transport)
			end++;
		qsort(&servers[start], end - start, sizeof servers[0], by_priority);
		for (size_t i = start; i < end; i++) {
			size_t same = i;

			while (same < end && servers[same].priority == servers[i].priority)
				same++;
			swap(&servers[i], &servers[draw(servers, i, same)]);
		}
		start = end;
	}
}

/* The answers come in any order; the list has the first service's records first. */
static void
order_services(struct resolve_server *servers, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t k = i; k > 0 && servers[k].transport < servers[k - 1].transport; k--)
			swap(&servers[k], &servers[k - 1]);
}

void
resolve_order(struct resolve_server *servers, size_t count)
{
	order_services(servers, count);
	sort_servers(servers, count);
}
